"""Reads the facts about the machine, the agent's paths and the chain."""

import os
import shutil
import stat
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Iterator, Optional, Sequence, Tuple

from os_update_agent.config.settings import Settings
from os_update_agent.delivery.suitability import why_unsuitable
from os_update_agent.heat.deployed_files import deployed_directory
from os_update_agent.install.code import OLDEST_MINOR
from os_update_agent.install.layout import HOOK, Places
from os_update_agent.model.errors import CommandFailed
from os_update_agent.node.offline_updates import offline_updates
from os_update_agent.node.transient_unit import SYSTEMD
from os_update_agent.node.trusted_paths import Untrusted, check_paths
from os_update_agent.packages.disk_space import free_bytes
from os_update_agent.selftest import verdicts
from os_update_agent.selftest.examine import Check
from os_update_agent.selftest.findings import Finding
from os_update_agent.selftest.questions import ask, text_of

_SELINUX = Path("/sys/fs/selinux")
_AGENT = Path(__file__).parents[1]
_WORKERS = ("packages/apt/worker/main.py", "packages/dnf/worker/main.py")


def checks(settings: Settings) -> Sequence[Check]:
    """Return the checks that every node has."""
    return (
        Check("Python of the agent", lambda: verdicts.python(sys.version_info[:3], sys.executable, (3, OLDEST_MINOR))),
        Check("kind of node", lambda: _node(settings)),
        Check("owners and modes", lambda: _trusted(settings)),
        Check("room", lambda: _room(settings)),
        Check("clock", _clock),
        Check("SELinux", lambda: _selinux(settings)),
        Check("systemd", _systemd),
        Check("chain", lambda: _chain(settings)),
    )


def _node(settings: Settings) -> Finding:
    return verdicts.node(why_unsuitable(settings), [one.sentence for one in offline_updates(settings.root)])


def _trusted(settings: Settings) -> Finding:
    error = ""
    try:
        check_paths(settings)
    except Untrusted as refused:
        error = str(refused)
    return verdicts.trusted(error, [f"{path} ({_mode(path)})" for path in (settings.state, settings.log, settings.run)])


def _mode(path: Path) -> str:
    try:
        return f"{stat.S_IMODE(path.stat().st_mode):04o}"
    except FileNotFoundError:
        return "not made yet"


def _room(settings: Settings) -> Finding:
    state = next(path for path in (settings.state, *settings.state.parents) if path.exists())
    temporary = Path(tempfile.gettempdir())
    return verdicts.room((str(settings.state), free_bytes(state)), (str(temporary), free_bytes(temporary)))


def _clock() -> Finding:
    synchronized: Optional[bool] = None
    if SYSTEMD.is_dir() and shutil.which("timedatectl"):
        with suppress(CommandFailed):
            said = ask("timedatectl", "show", "--property=NTPSynchronized", "--value").stdout.strip()
            synchronized = {"yes": True, "no": False}.get(said)
    now = time.time()
    words = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    return verdicts.clock(now, words, Path(__file__).stat().st_mtime, synchronized)


def _selinux(settings: Settings) -> Finding:
    word = text_of(_SELINUX / "enforce").strip()
    mode = {"1": "enforcing", "0": "permissive"}.get(word, "")
    hook = settings.root / Places().hooks.lstrip("/") / HOOK
    paths = (hook, *(_AGENT / name for name in _WORKERS), settings.state)
    files = {str(path): _context(path) for path in paths if path.exists()} if mode else {}
    own = text_of(Path("/proc/self/attr/current")).strip(" \n\0") if mode else ""
    return verdicts.selinux(verdicts.Selinux(mode, _context_of_chain() if mode else "", own, files))


def _context(path: Path) -> str:
    try:
        return os.getxattr(path, "security.selinux").decode("utf-8", "replace").rstrip("\0")
    except OSError:
        return ""


def _context_of_chain() -> str:
    """Return the context of the process os-collect-config; "" if there is none."""
    for process in _processes():
        if b"os-collect-config" in process[1].replace(b"/", b"\0").split(b"\0"):
            return text_of(process[0] / "attr/current").strip(" \n\0")
    return ""


def _processes() -> Iterator[Tuple[Path, bytes]]:
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            yield path, (path / "cmdline").read_bytes()


def _systemd() -> Finding:
    version, error = "", ""
    if SYSTEMD.is_dir():
        try:
            version = ask("systemctl", "show", "--property=Version", "--value").stdout.strip()
            error = "" if shutil.which("systemd-run") else "there is no systemd-run"
        except CommandFailed as refused:
            error = str(refused)
    return verdicts.transient_units(SYSTEMD.is_dir(), os.geteuid() == 0, version, error)


def _chain(settings: Settings) -> Finding:
    hooks = settings.root / Places().hooks.lstrip("/")
    parts = (settings.collect_config, hooks, deployed_directory())
    return verdicts.chain({str(path): path.exists() for path in parts}, (hooks / HOOK).exists())
