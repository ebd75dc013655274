"""Starts a program whose life nobody here can end: not the death of its caller, not a stop of the service that the
caller belongs to.
"""

import contextlib
import logging
import os
import time
from pathlib import Path
from typing import Mapping, Optional, Sequence

from os_update_agent.model.errors import CommandFailed
from os_update_agent.node.process import QUESTION_SECONDS, run, run_to_file
from os_update_agent.node.service_environment import environment_text, usable
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

SYSTEMD = Path("/run/systemd/system")
# Tells what is started here which service its caller belongs to.
CALLER_UNIT = "OS_UPDATE_AGENT_CALLER_UNIT"
# os-refresh-config holds it (flock(2)) as long as it serves deployments, ours and those of others.
REFRESH_LOCK = "/run/os-refresh-config.lock"
REFRESH_SECONDS = 3600
# A service reads its environment when it is started, at the end of a boot at the latest.
UNREAD_SECONDS = 600


def start(argv: Sequence[str], *, unit: str, output: Path, environment: Mapping[str, str], work: Path) -> None:
    """Start argv and return at once, in the directory "/". Its output goes to the end of a file, for its owner's eyes
    only; its input is closed.

    Where systemd runs it gets a transient service of its own (systemd-run(1)): a process that merely left its session
    stays in its caller's control group and is killed with it; its standard error goes to the journal then. Elsewhere it
    gets a session of its own and no parent (setsid(1), --fork).
    ``work`` is a private directory, for the environment: it may hold a proxy's password, and an argument list is no
    place for that. The program may remove its UNIT.env there.

    Raises CommandFailed.
    """
    try:
        # O_NONBLOCK: a FIFO without a reader is an error then, and nothing to wait for.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(output, flags, 0o600)
    except OSError as error:
        raise CommandFailed(f"the log {output} cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "ab") as file:
        if SYSTEMD.is_dir() and os.geteuid() == 0:
            # No session in its place where this cannot be written: a session dies with the service of its caller.
            file_of_it = _environment_file(work / f"{unit}.env", environment) if environment else None
            try:
                run(_service(argv, unit, output, file_of_it), timeout=QUESTION_SECONDS)
                return
            except CommandFailed as error:
                file.write(f"{logged(service=unit, started='as a session', why=error)}\n".encode())
                file.flush()
        run_to_file(["setsid", "--fork", *argv], file, env=environment, cwd=Path("/"))


def forget_environments(work: Path) -> None:
    """Remove what programs have left there that ended before they could: killed, or never started by systemd."""
    for path in work.glob("*.env"):
        with contextlib.suppress(OSError):
            # A clock that was ahead must not keep it for years: it may hold a password.
            if abs(time.time() - path.stat().st_mtime) > UNREAD_SECONDS:
                path.unlink()


def restart_when_idle(systemctl: str, units: Sequence[str], *, unit: str, output: Path, work: Path) -> None:
    """Have services restarted as soon as os-refresh-config is at rest, at most an hour from now: a deployment that is
    being served would die with os-collect-config, and never be served again. Returns at once. Raises CommandFailed.
    """
    argv = ["flock", "--timeout", str(REFRESH_SECONDS), REFRESH_LOCK, systemctl, "try-restart", "--", *units]
    start(argv, unit=unit, output=output, environment={}, work=work)


def is_going_down() -> bool:
    """Is this machine on its way into a reboot or a power-off? False where no systemd could tell."""
    if not SYSTEMD.is_dir():
        return False
    try:
        done = run(["systemctl", "is-system-running"], ok=None, timeout=QUESTION_SECONDS)
    except CommandFailed as error:
        log.warning(logged(shutdown="unknown", why=error))
        return False
    return done.stdout.strip() == "stopping"


def _environment_file(path: Path, environment: Mapping[str, str]) -> Path:
    left_out = usable(environment)[1]
    if left_out:
        # The names alone: a value may be a secret.
        why = "a service cannot get them: no UTF-8, a control character, an odd name, or too long"
        log.warning(logged(left_out=", ".join(left_out), why=why))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(environment_text(environment))
    except OSError as error:
        raise CommandFailed(f"the environment {path} cannot be written: {error.strerror}") from error
    return path


def _service(argv: Sequence[str], unit: str, output: Path, environment: Optional[Path]) -> Sequence[str]:
    properties = {
        # The end of the worker, or a stop of its unit, ends neither the package manager nor a daemon that a maintainer
        # script has started (apt-daily-upgrade.service of Debian has the same).
        "KillMode": "process",
        # A shutdown waits for the transaction rather than tearing it, and leaves it what maintainer scripts talk to.
        "TimeoutStopSec": "infinity",
        "After": "dbus.service network.target",
        "IgnoreOnIsolate": "yes",
        "StandardOutput": f"append:{output}",
        # One line for each fact: see the module journal.
        "StandardError": "journal",
        "SyslogIdentifier": "os-update-agent",
    }
    if environment is not None:
        properties["EnvironmentFile"] = str(environment)
    return [
        *("systemd-run", "--quiet", "--collect", "--no-block", f"--unit={unit}"),
        *(f"--property={name}={value}" for name, value in properties.items()),
        "--",
        *argv,
    ]
