"""The units of systemd: what runs is asked, never concluded from an exit status; and units are stopped and started."""

import contextlib
import glob
from pathlib import Path
from typing import IO, Dict, NamedTuple, Sequence, Tuple

from os_update_agent.config.bounded_files import read_text
from os_update_agent.model.errors import CommandFailed
from os_update_agent.node import process
from os_update_agent.node.process import QUESTION_SECONDS
from os_update_agent.node.service_environment import read_file, read_files_shown, read_shown

STOP, START = "stop", "start"


class UnitState(NamedTuple):
    """LoadState and ActiveState of a unit, in systemd's words (org.freedesktop.systemd1(5))."""

    load: str
    active: str

    @property
    def is_known(self) -> bool:
        return self.load in ("loaded", "masked")

    @property
    def is_active(self) -> bool:
        """Does it run? One that is on its way up or down, or waits to be started again after a crash, does not yet, or
        no longer.
        """
        return self.active in ("active", "reloading", "refreshing")

    @property
    def is_stopped(self) -> bool:
        return self.active in ("inactive", "failed")


def ask(systemctl: str, units: Sequence[str]) -> Dict[str, UnitState]:
    """The state of each unit, in the order in which they are named. Raises CommandFailed, also for an answer of another
    form.
    """
    done = process.run([systemctl, "show", "--property=LoadState,ActiveState", "--", *units], timeout=QUESTION_SECONDS)
    states = [_state(block) for block in done.stdout.strip().split("\n\n")]
    if len(states) != len(units) or not all(load and active for load, active in states):
        raise CommandFailed(f"{systemctl} show does not tell the state of {', '.join(units)}: {done.tail}")
    return {unit: UnitState(load, active) for unit, (load, active) in zip(units, states)}


def switch(systemctl: str, verb: str, units: Sequence[str], output: IO[bytes], timeout: float) -> str:
    """Stop or start the units and wait until systemd has done it. Returns its complaint, '' for none.

    Killing systemctl does no harm: systemd goes on. Raises CommandFailed after ``timeout`` seconds, or when there is no
    systemctl.
    """
    done = process.run_to_file([systemctl, verb, "--", *units], output, ok=None, timeout=timeout)
    return f"{systemctl} {verb} ended with exit status {done.returncode}" if done.returncode else ""


def refusing_restart(systemctl: str, units: Sequence[str]) -> Tuple[str, ...]:
    """Those of the units that may not be stopped or started by hand, such as auditd.service. Raises CommandFailed."""
    done = process.run([systemctl, "show", "--property=CanStart,CanStop", "--", *units], timeout=QUESTION_SECONDS)
    blocks = done.stdout.strip().split("\n\n")
    if len(blocks) != len(units):
        raise CommandFailed(f"{systemctl} show does not tell whether {', '.join(units)} can be restarted: {done.tail}")
    return tuple(unit for unit, block in zip(units, blocks) if "=no" in block)


def environment_of(systemctl: str, unit: str) -> Dict[str, str]:
    """Return the variables that the settings of a service give it (Environment=, EnvironmentFile=).

    They may hold secrets, so no error has what systemctl printed. Raises CommandFailed.
    """
    argv = [systemctl, "show", "--value", "--", unit]
    shown = {}
    for name in ("Environment", "EnvironmentFiles"):
        done = process.run([*argv[:2], f"--property={name}", *argv[2:]], ok=None, timeout=QUESTION_SECONDS)
        if done.returncode:
            raise CommandFailed(f"{systemctl} show {unit} ended with exit status {done.returncode}")
        shown[name] = done.stdout
    found = read_shown(shown["Environment"])
    for pattern in read_files_shown(shown["EnvironmentFiles"]):
        for file in sorted(glob.glob(pattern)):
            # systemd does not start the service if it needs the file.
            with contextlib.suppress(OSError, UnicodeDecodeError):
                found.update(read_file(read_text(Path(file))))
    return found


def _state(block: str) -> Tuple[str, str]:
    # LoadState=loaded
    # ActiveState=active
    fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
    return fields.get("LoadState", ""), fields.get("ActiveState", "")
