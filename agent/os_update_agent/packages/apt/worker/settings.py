"""Which of apt's settings count for a plan. Runs in the worker, Python 3.9.

apt's library honors what chooses versions: APT::Default-Release, pins, APT::Install-Recommends, phasing. What formats
or restrains the output of apt-get has no effect on it, as quiet, APT::Get::Show-Versions or APT::Get::Simulate.
"""

from typing import Any


def may_remove(config: Any) -> bool:
    """Return whether apt's configuration allows apt-get to remove packages."""
    return bool(config.find_b("APT::Get::Remove", True))


def removes_unneeded(config: Any) -> bool:
    """Return whether apt-get removes packages that nothing needs any more, without being asked."""
    return bool(config.find_b("APT::Get::AutomaticRemove", False))
