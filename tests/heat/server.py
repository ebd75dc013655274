"""A server of a stack: what polls Heat in it, and the packages that it has.

The stack knows it as an OS::Heat::DeployedServer, which is a server that Heat has not made; what would be the image is
a directory here.
"""

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from chain.guest import Guest, write
from heat.client import wait_until
from os_update_agent.ledger import Ledger
from os_update_agent.model.deliveries import OwedSignal
from os_update_agent.testing.repository import Deb, Repository
from packages.aptroot import AptRoot
from packages.node import Template

# A step that holds an update in its middle until it is let go; it gives up after ten minutes.
HOLD = """\
#!/bin/sh
touch {held}
n=0
while [ ! -e {go} ] && [ "$n" -lt 3000 ]; do n=$((n + 1)); sleep 0.2; done
rm -f {held} {go}
"""


class Server(Guest):
    """``occ`` is the attribute os_collect_config of its DeployedServer. A context manager: it polls in between, as a
    daemon would.
    """

    def __init__(self, directory: Path, template: Template, occ: Mapping[str, Any]) -> None:
        self.occ = occ
        more = [name for name in ("request", "zaqar") if occ.get(name)]
        super().__init__(directory, directory / "root", ("heat", "cfn", *more))
        shutil.copytree(template.directory, directory, dirs_exist_ok=True, symlinks=True)
        self.release_two = template.two
        self.repository = Repository(directory / "repository")
        self.apt = AptRoot(self.root)
        self.use_source(self.repository.source_line())
        self.process: Optional[subprocess.Popen[bytes]] = None
        self._holding = self.directory / "steps"

    def credentials(self) -> str:
        """What cloud-init writes into a server that Heat has made."""
        lines: List[str] = []
        for section in self.collectors:
            given = self.occ.get(section) or {}
            lines += (
                [f"[{section}]", *(f"{name} = {str(value).replace('$', '$$')}" for name, value in given.items())]
                if given
                else []
            )
        return "".join(f"{line}\n" for line in lines)

    # --- its packages

    def use_source(self, line: str) -> None:
        write(self.root / "etc/apt/sources.list", f"{line}\n")

    def offer(self, *debs: Deb) -> None:
        self.repository.add(*debs)
        self.repository.publish()

    def offer_two(self) -> None:
        """Its repository has the second release of packages.node from now on."""
        for path in self.release_two.glob("*.deb"):
            shutil.copy2(path, self.repository.directory)
        self.repository.publish()

    def versions(self) -> Dict[str, str]:
        return self.apt.versions()

    # --- its polling

    def __enter__(self) -> "Server":
        self.start_polling()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_polling()
        self._end_workers()

    def start_polling(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._daemon(),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop_polling(self) -> None:
        """As systemd stops a service: with all that it has started, the hook too."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _daemon(self) -> List[str]:
        """os-collect-config as its service runs it, but for the directories and a shorter pause."""
        argv = [one for one in self.collect_argv() if one != "--one-time"]
        # It would poll for ever if the tests were killed.
        return [
            "setpriv",
            "--pdeathsig",
            "KILL",
            *argv[: -len(self.collectors)],
            "--polling-interval",
            "1",
            *self.collectors,
        ]

    def _end_workers(self) -> None:
        """A worker outlives os-collect-config, as it is meant to."""
        mine = f"OS_UPDATE_AGENT_CONFIG={self.conf}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if int(process.name) != os.getpid() and mine in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)

    # --- updates in their middle

    def hold(self, place: str = "pre-update.d") -> None:
        """The next update stops before its transaction, or in health.d behind it, and waits to be let go."""
        self._holding = self.directory / f"steps/{place}/10-hold"
        write(self._holding, HOLD.format(held=self._held, go=self._go), 0o755)

    def wait_until_held(self) -> None:
        wait_until(self._held.exists, f"{self.directory} to begin an update", self.tail)

    def let_go(self) -> None:
        """The update that is held goes on, and the ones after it are not held."""
        self._holding.unlink()
        self._go.touch()

    @property
    def _held(self) -> Path:
        return self.directory / "held"

    @property
    def _go(self) -> Path:
        return self.directory / "go"

    # --- what it tells

    def signals(self) -> Tuple[OwedSignal, ...]:
        """What the agent knows of its results on their way to Heat."""
        ledger = Ledger(self.directory / "state/ledger.sqlite")
        try:
            return ledger.signals()
        finally:
            ledger.close()

    def said(self) -> str:
        """What the chain, and the worker, have logged."""
        logs = (self.log, self.directory / "log/worker.log")
        return "".join(path.read_text(encoding="utf-8", errors="replace") for path in logs if path.exists())

    def tail(self) -> str:
        """The end of it, for the message of a failed test."""
        return self.said()[-6000:]
