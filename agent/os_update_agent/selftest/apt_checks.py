"""Reads the facts about apt and dpkg."""

import shutil
from pathlib import Path
from typing import List, Sequence

from os_update_agent.config.settings import Settings
from os_update_agent.model.errors import PackageError
from os_update_agent.packages.apt.backend import Apt
from os_update_agent.packages.apt.repositories import PYTHON
from os_update_agent.selftest import package_verdicts, verdicts
from os_update_agent.selftest.examine import Check
from os_update_agent.selftest.findings import Finding
from os_update_agent.selftest.questions import ask, kernel, probe, text_of

_PROGRAMS = {
    "needrestart": "usr/sbin/needrestart",
    "unattended-upgrades": "usr/bin/unattended-upgrade",
    "apt-listchanges": "usr/bin/apt-listchanges",
}
_OLDEST = (3, 9)


class _Settings(Apt):
    """apt's settings as a run reads them; nothing is opened and no lock is taken."""

    def finding(self) -> Finding:
        refusal = ""
        try:
            self._check_options()
        except PackageError as error:
            refusal = str(error)
        return package_verdicts.apt_settings(refusal, self._downloads_only)


def checks(settings: Settings, work: Path) -> Sequence[Check]:
    """Return the checks of a node with apt. ``work`` is an empty directory for generated settings."""
    return (
        Check("Python of the worker", _python),
        Check("bindings", lambda: verdicts.bindings(probe(PYTHON, "apt"), "python3-apt")),
        Check("versions of apt", _versions),
        Check("dpkg's database", lambda: _database(settings.root)),
        Check("apt.conf", lambda: _Settings(settings.root, work, work, 1.0, "keep").finding()),
        Check("beside apt", lambda: _surroundings(settings.root)),
        Check("kernel of the next boot", lambda: package_verdicts.kernel_of_grub(kernel(settings.root))),
    )


def _python() -> Finding:
    found = probe(PYTHON, "apt")
    return verdicts.python(found.python, found.program, _OLDEST)


def _versions() -> Finding:
    """apt and its library are those of this machine, also for a private root."""
    wanted = ("apt", "dpkg", "python3-apt")
    text = ask("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package} ${Version}\\n", *wanted, ok=None).stdout
    rows = (line.split() for line in text.splitlines() if line.startswith(("ii", "hi")))
    return package_verdicts.apt_versions({name: version for _, name, version in rows})


def _database(root: Path) -> Finding:
    admin = root / "var/lib/dpkg"
    text = ask("dpkg-query", f"--admindir={admin}", "-W", "-f", "${db:Status-Abbrev}|${Package}\\n", ok=None)
    if text.stderr.strip() and "no packages found" not in text.stderr:
        raise PackageError(f"{admin} cannot be read: {text.tail}")
    rows = [line.partition("|")[::2] for line in text.stdout.splitlines()]
    unfinished: List[str] = [name for status, name in rows if status[1] not in "inc" or status[2:].strip()]
    journal = [path for path in (admin / "updates").iterdir() if path.name.isdigit()]
    return package_verdicts.dpkg_database(len(rows), unfinished, len(journal))


def _surroundings(root: Path) -> Finding:
    here = {name: (root / path).exists() for name, path in _PROGRAMS.items()}
    if root == Path("/"):
        here["needrestart"] = here["needrestart"] or shutil.which("needrestart") is not None
    return package_verdicts.apt_surroundings(text_of(root / "etc/machine-id"), here)
