"""The demo: the promise of the project, shown and checked step by step on real packages."""

import os
import shutil
import sys
import tempfile
import textwrap
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Optional, TextIO, Tuple, Type

from os_update_agent.model.errors import AgentError, UsageError
from os_update_agent.model.packages import PackageState
from os_update_agent.node.trusted_paths import check_trusted
from os_update_agent.testing.receiver import Receiver
from os_update_agent.testing.scene import BROKEN, EDITED, FIRST, INSTALLED, NOVEMBER, SECOND, THIRD, Scene
from os_update_agent.testing.stage import STAGES, Stage, chosen

_SHOWN_PACKAGES = 12
_WIDTH = 88
_INDENT = 17


def tell(directory: Optional[Path] = None, out: TextIO = sys.stdout, *, backend: str = "auto") -> int:
    """Run the demo. Returns 0 if every check succeeded, 1 otherwise.

    ``directory`` must be new and is kept; without it a temporary one is used and removed. ``backend`` is apt, dnf, or
    auto for the one of this machine. Raises AgentError if a tool is missing, or root is needed.
    """
    backend = chosen(backend)
    stage = STAGES[backend]
    missing = stage.missing_tools()
    if missing:
        raise AgentError(f"the demo needs {' and '.join(missing)}: {stage.needs}")
    if stage.needs_root and os.geteuid() != 0:
        raise AgentError(
            f"the demo with {stage.tools} needs root: rpm enters the demo's own root with chroot; nothing outside is"
            " touched"
        )
    started = time.monotonic()
    # The agent refuses a configuration that others may write.
    before = os.umask(0o022)
    try:
        return _told(directory, out, backend, stage, started)
    finally:
        os.umask(before)


def _told(directory: Optional[Path], out: TextIO, backend: str, stage: Type[Stage], started: float) -> int:
    with _directory(directory) as place, Receiver() as receiver:
        story = _Story(Scene(place, receiver, backend), out)
        story.tell()
        story.line()
        if story.wrong:
            story.line(f"{len(story.wrong)} things are not as they should be:")
            for text in story.wrong:
                story.line(f"  {text}")
            return 1
        real = " and ".join(f"real {tool}" for tool in stage.tools.split(" and "))
        story.line(
            f"All as promised, in {time.monotonic() - started:.0f} s. {real.capitalize()}, real packages; nothing"
            f" outside {place}"
        )
        story.line("was touched" + (", where you can look around:" if directory else ", and that is gone now."))
        if directory:
            story.line(f"  os-update-agent --config {place / 'agent.conf'} history")
        return 0


@contextmanager
def _directory(wanted: Optional[Path]) -> Iterator[Path]:
    if wanted is not None:
        try:
            wanted.mkdir(parents=True)
        except OSError as error:
            raise UsageError(f"the demo's directory {wanted} must be a new one: {error.strerror}") from error
        check_trusted(wanted.resolve(), is_trial=True)
        yield wanted.resolve()
        return
    place = Path(tempfile.mkdtemp(prefix="os-update-agent-demo-")).resolve()
    try:
        yield place
    finally:
        shutil.rmtree(place)


@dataclass
class _Story:
    scene: Scene
    out: TextIO
    wrong: List[str] = field(default_factory=list)
    steps: int = 0
    held_back: Tuple[str, ...] = ()

    def tell(self) -> None:
        scene = self.scene
        self.line("os-update-agent: a value goes in, a package state comes out, the truth is reported,")
        self.line(f"and going back works. What follows is real: {scene.stage.tools} in a private root, the")
        self.line("real hook program, and an HTTP server in the place of Heat.")
        self.line()
        self.line("The node has " + ", ".join(_label(self.scene.state())) + ".")
        self.line(
            "database is on hold; libweb and metrics-old came as dependencies; the operator has edited webapp.conf."
        )

        first = self.baseline()
        second = self.update()
        self.failed_update(second)
        self.way_back(first, second)

    def baseline(self) -> PackageState:
        first = self.deliver(
            "CREATE", FIRST, "The stack is created: the state becomes the baseline of the first value.", 0
        )
        self.check(first == self.scene.state(), "no package was touched")
        return first

    def update(self) -> PackageState:
        scene = self.scene
        scene.publish(*NOVEMBER)
        self.note(
            "Meanwhile the repository gets new versions: one with a new dependency, one renamed, one with an epoch."
        )
        second = self.deliver("UPDATE", SECOND, "openstack stack update --existing --parameter update_timestamp=...", 0)
        versions = {package.name: package for package in second.packages if package.is_present}
        self.check(versions["webapp"].version == "2.0-1", "webapp is at 2.0-1")
        self.check(
            "webapp-cache" in versions and versions["webapp-cache"].mark == "auto",
            "webapp-cache is new, marked automatic",
        )
        self.check(
            "metrics" in versions and "metrics-old" not in versions, "metrics has taken the place of metrics-old"
        )
        self.check(
            versions["database"].version == "14.1-1" and "database" in self.held_back, "the hold on database was kept"
        )
        self.check(scene.configuration() == EDITED, "the edited webapp.conf was kept")
        return second

    def failed_update(self, second: PackageState) -> None:
        scene = self.scene
        scene.withdraw(
            *(
                pkg
                for pkg in (*INSTALLED, *NOVEMBER)
                if pkg.name in ("webapp", "libweb", "metrics-old", "monitor", "clock")
            )
        )
        scene.publish(*BROKEN)
        self.note(
            "The repository drops all these versions, old and new, and gets a webapp that fails while it is configured."
        )
        third = self.deliver("UPDATE", THIRD, "The next update fails, and is undone.", 1)
        self.check(third == second, "every package is as it was before the update")

    def way_back(self, first: PackageState, second: PackageState) -> None:
        again = self.deliver(
            "CREATE", SECOND, "Heat rolls back: it replaces the failed deployment, and says CREATE.", 0
        )
        self.check(again == second, "the node stands at this value already: nothing was done")

        back = self.deliver(
            "UPDATE", FIRST, "The operator goes back to the first value. No repository has it any more.", 0
        )
        self.check(back.digest == first.digest, "versions, marks and holds are exactly those of the baseline")
        self.check(self.scene.configuration() == EDITED, "and the edited webapp.conf is still there")

        forth = self.deliver("UPDATE", SECOND, "And forward again, from the kept package files.", 0)
        self.check(forth.digest == second.digest, "exactly the state that this value had reached")

    def deliver(self, action: str, value: str, title: str, status: int) -> PackageState:
        """Deliver a value, print and check the result and the signal. Returns the new package state."""
        self.steps += 1
        self.line()
        self.line(f"--- {self.steps}. {title} ".ljust(_WIDTH, "-"))
        self.line(f"Heat delivers    {action}  update_after_time = {value}")
        sent = len(self.scene.receiver.received)
        answer, log = self.scene.deliver(action, value)
        self.tell_changes(answer)
        signals = self.scene.receiver.received[sent:]
        self.line(
            f"signalled        status {answer['deploy_status_code']}, {_count(len(signals), 'POST')} to the signal URL"
        )
        self.check(answer["deploy_status_code"] == status, f"the status is {status}")
        self.check(len(signals) == 1 and signals[0].body.decode() == _text(answer), "Heat got this result, once")
        self.check("secret0" not in log, "the signed URL is in no log", quiet=True)
        return self.scene.state()

    def tell_changes(self, answer: Mapping[str, Any]) -> None:
        if answer["deploy_status_code"]:
            for text in answer["deploy_stderr"].splitlines()[:2]:
                for line in textwrap.wrap(text, _WIDTH - _INDENT):
                    self.line(f"{'':<{_INDENT}}{line}")
            return
        changes = answer["changes"]["changes"]
        self.line(f"changed          {_count(len(changes), 'package')}")
        for change in changes[:_SHOWN_PACKAGES]:
            self.line(
                f"                 {change['name']:<14} {change['before'] or '-':>10} -> {change['after'] or 'removed'}"
            )
        self.held_back = tuple(item["name"] for item in answer["held_back"])
        for item in answer["held_back"]:
            self.line(f"held back        {item['name']}: {item['reason']}")

    def check(self, is_right: bool, text: str, *, quiet: bool = False) -> None:
        if not is_right:
            self.wrong.append(f"step {self.steps}: {text}")
        if not (is_right and quiet):
            self.line(f"{'  ok' if is_right else 'WRONG'}             {text}")

    def note(self, text: str) -> None:
        self.line()
        self.line(f"    {text}")

    def line(self, text: str = "") -> None:
        print(text, file=self.out, flush=True)


def _label(state: PackageState) -> List[str]:
    return [f"{package.name} {package.version}" for package in state.packages]


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"


def _text(answer: Mapping[str, Any]) -> str:
    import json

    return json.dumps(answer)
