"""Reads the facts about dnf 4, dnf 5 and rpm."""

import configparser
import shutil
from pathlib import Path
from typing import List, Mapping, Sequence

from os_update_agent.config.settings import Settings
from os_update_agent.model.errors import PackageError
from os_update_agent.packages.detect import DNF5, Manager
from os_update_agent.packages.dnf.client import system_python
from os_update_agent.packages.dnf.modules import modules4, modules5
from os_update_agent.packages.dnf.settings import DNF_CONF, read_settings, settings_files
from os_update_agent.packages.rpm.place import database_below
from os_update_agent.selftest import package_verdicts, verdicts
from os_update_agent.selftest.examine import Check
from os_update_agent.selftest.findings import Finding
from os_update_agent.selftest.questions import ask, kernel, probe, text_of

_OLDEST = (3, 6)
_PACKAGES = {"dnf": "python3-dnf and python3-rpm", "dnf5": "python3-libdnf5 and python3-rpm"}
_HOST = Path("/")
# The file of rpm's database in each format.
_FILES = {"rpmdb.sqlite": "sqlite", "Packages.db": "ndb", "Packages": "bdb"}
# dnf 4's plugins are Python modules below each of these (dnf.conf(5), pluginpath); dnf 5's are libraries.
_PLUGINS4 = "lib/python3*/*-packages/dnf-plugins"
_PLUGINS5 = ("usr/lib64/libdnf5/plugins", "usr/lib/libdnf5/plugins", "usr/lib/*-linux-gnu/libdnf5/plugins")
_CONFIGURED4, _CONFIGURED5 = "etc/dnf/plugins", "etc/dnf/libdnf5-plugins"


def checks(settings: Settings, manager: Manager) -> Sequence[Check]:
    """Return the checks of a node with dnf 4 or dnf 5."""
    root = settings.root
    return (
        Check("Python of the worker", lambda: _python(manager)),
        Check("bindings", lambda: verdicts.bindings(probe(system_python(), manager), _PACKAGES[manager])),
        Check("rpm's database", lambda: _database(root)),
        Check("dnf's plugins", lambda: _plugins(root, manager)),
        Check("module streams", lambda: _streams(root, manager)),
        Check("kernel of the next boot", lambda: _kernel(root, manager)),
    )


def _python(manager: Manager) -> Finding:
    found = probe(system_python(), manager)
    return verdicts.python(found.python, found.program, _OLDEST)


def _database(root: Path) -> Finding:
    if root == _HOST:
        place, options = ask("rpm", "--eval", "%{_dbpath}").stdout.strip(), []
    else:
        place = f"/{database_below(root)}"
        options = ["--root", str(root), "--dbpath", place]
    directory = root / place.lstrip("/")
    if not any((directory / name).exists() for name in _FILES):
        # rpm, asked by root, would make a database.
        return package_verdicts.rpm_database(str(directory), "", 0)
    done = ask("rpm", *options, "-qa", "--queryformat", "%{name}\\n", ok=None)
    complaints = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("warning: ")]
    if complaints:
        raise PackageError(f"{directory} cannot be read: {complaints[0]}")
    return package_verdicts.rpm_database(str(directory), _backend(directory), len(done.stdout.splitlines()))


def _backend(directory: Path) -> str:
    """Return the format of the database by its files, which counts, and rpm's own setting if that is another one."""
    found = next((kind for name, kind in _FILES.items() if (directory / name).exists()), "")
    wanted = ask("rpm", "--eval", "%{?_db_backend}").stdout.strip()
    return found if wanted in ("", found) else f"{found or 'no known file'}, while rpm's setting is {wanted}"


def _plugins(root: Path, manager: Manager) -> Finding:
    left_out: Sequence[str] = ()
    if manager == DNF5:
        names = {path.stem for place in _PLUGINS5 for path in _HOST.glob(f"{place}/*.so")}
        configured = _HOST / _CONFIGURED5
    else:
        left_out = probe(system_python(), manager).left_out
        found = (*_HOST.glob(f"usr/{_PLUGINS4}/*.py"), *_HOST.glob(f"usr/local/{_PLUGINS4}/*.py"))
        names = {path.stem for path in found if path.stem != "__init__"}
        configured = _HOST / _CONFIGURED4
    are_on = _is_enabled(_HOST / DNF_CONF, "plugins")
    plugins = {name: are_on and _is_enabled(configured / f"{name}.conf", "enabled") for name in sorted(names)}
    return package_verdicts.dnf_plugins(plugins, left_out, is_private=root != _HOST)


def _is_enabled(file: Path, option: str) -> bool:
    """Return whether an option of the section [main] is on, as it is unless the file says otherwise (dnf.conf(5))."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read_string(text_of(file))
    return parser.get("main", option, fallback="1").strip().lower() not in ("0", "no", "false", "off")


def _streams(root: Path, manager: Manager) -> Finding:
    known = read_settings(root, drop_ins=manager == DNF5)
    settings = modules5(known.state) if manager == DNF5 else modules4(root)
    enabled = [f"{one.name}:{one.value[1]}" for one in settings if one.value[:1] == ("enabled",)]
    lacking: List[str] = []
    if manager != DNF5:
        kept = known.persistent / "modulefailsafe"
        lacking = [name for name in enabled if not any(path.name.startswith(f"{name}:") for path in kept.glob("*"))]
    return package_verdicts.streams(enabled, lacking)


def _kernel(root: Path, manager: Manager) -> Finding:
    limits: Mapping[str, str] = {}
    for file in settings_files(root, drop_ins=manager == DNF5):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read_string(text_of(file))
        if parser.has_option("main", "installonly_limit"):
            limits = {"limit": parser.get("main", "installonly_limit").strip()}
    has_grubby = root == _HOST and shutil.which("grubby") is not None
    return package_verdicts.kernel_of_rpm(kernel(root, grubby=has_grubby, limit=limits.get("limit", "")))
