"""The settings of apt that count for a plan. Runs in the worker, Python 3.9.

apt's library honors what chooses versions: APT::Default-Release, pins, APT::Install-Recommends, phasing. What formats
or restrains the output of apt-get has no effect on it, as quiet, APT::Get::Show-Versions or APT::Get::Simulate.
"""

from typing import Any

# apt-get takes these settings for its own.
_OWN = "Binary::apt-get"


def may_remove(config: Any) -> bool:
    """Return whether apt's configuration allows apt-get to remove packages."""
    return bool(config.find_b("APT::Get::Remove", True))


def allows(config: Any, option: str) -> bool:
    """Return whether apt's configuration allows one of the changes that ``-y`` alone does not allow."""
    return bool(config.find_b(f"APT::Get::{option}", False) or config.find_b("APT::Get::force-yes", False))


def installs(config: Any, kind: str) -> bool:
    """Return whether a plan installs what a package recommends ("Recommends") or suggests ("Suggests")."""
    return bool(config.find_b(f"APT::Install-{kind}", kind == "Recommends"))


def takes_phased(config: Any) -> bool:
    """Return whether the node takes each update however few nodes the archive offers it to."""
    of_desktop = config.find_b("Update-Manager::Always-Include-Phased-Updates", False)
    return bool(config.find_b("APT::Get::Always-Include-Phased-Updates", of_desktop))


def use_those_of_apt_get(config: Any) -> None:
    """Give the settings below Binary::apt-get the place that apt-get gives them (apt.conf(5))."""
    for tag in dict.fromkeys(config.keys(_OWN)):
        name = tag[len(_OWN) + 2 :]
        values = config.value_list(tag[:-2]) if name.endswith("::") else [config.find(tag)]
        for value in values if name else ():
            if value:
                config.set(name, value)


def words_of(error: Exception) -> str:
    """Return apt's error without the letters that it puts before each of several errors."""
    return str(error).replace("E:", "").replace("W:", "").strip()
