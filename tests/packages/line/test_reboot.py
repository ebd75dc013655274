"""A reboot in the middle of a run. What stands for the machine is a program that counts its boots; a real one is in
tests/systemd.
"""

import os
import stat
from typing import Any, List

import pytest

from os_update_agent.config.policy import Policy
from os_update_agent.delivery.result import outcome_of
from os_update_agent.ledger import Ledger
from os_update_agent.model import phases
from os_update_agent.model.deliveries import Outcome
from os_update_agent.model.phases import BACK_IN_SERVICE, CHANGED, UNDONE, RunKind
from os_update_agent.model.runs import Progress, Run
from os_update_agent.runs import engine, restart
from os_update_agent.runtime.context import Site
from packages.node import RESOURCE, SERVER, STACK, Node

KEY = f"{STACK}/{RESOURCE}@{SERVER}"

# It obeys, refuses, or is deaf: it says yes and does nothing.
SCRIPT = """\
#!/bin/sh
cd '{directory}' || exit 1
[ "$1" = reboot ] || exit 0
echo "machine reboot" >> ../ran
case $(cat behaviour) in
obey) echo "boot $(($(grep -c reboot ../ran) + 1))" > boot ;;
refuse) echo "Operation inhibited by \\"backup\\"." >&2; exit 1 ;;
esac
"""


class Machine:
    """The node's machine: ``systemctl`` reboots it, and what it was asked stands between the steps in the file
    ``ran``.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.directory = node.directory / "machine"
        self.directory.mkdir()
        (self.directory / "boot").write_text("boot 1\n", encoding="utf-8")
        self.behave("obey")
        program = self.directory / "systemctl"
        program.write_text(SCRIPT.format(directory=self.directory), encoding="utf-8")
        os.chmod(program, stat.S_IRWXU)
        node.configure(systemctl=program)
        for place in ("pre-update.d/10-out", "health.d/10-look", "post-update.d/10-in"):
            node.step(place)

    def behave(self, behaviour: str) -> None:
        (self.directory / "behaviour").write_text(behaviour, encoding="utf-8")

    def boot_id(self) -> str:
        return (self.directory / "boot").read_text(encoding="utf-8").strip()

    @property
    def site(self) -> Site:
        return self.node.site()._replace(boot_id=self.boot_id)

    def begin(self, value: str, kind: RunKind = "update", **options: Any) -> Run:
        site = self.site
        policy = Policy(value=value, key=KEY, **options)
        record = site.ledger.history(KEY).record(value)
        return engine.begin(
            site, policy, kind, config_id="by-test", state=record.state if record and kind == "restore" else None
        )

    def run(self, value: str, kind: RunKind = "update", **options: Any) -> Run:
        return engine.perform(self.site, self.begin(value, kind, **options))

    def outcome(self, run: Run) -> Outcome:
        return outcome_of(self.site, run)

    def ran(self) -> List[str]:
        """The directories of the steps that ran, and "machine", in their order."""
        return [line.replace("/", " ").split()[0] for line in self.node.ran()]


@pytest.fixture
def machine(based: Node) -> Machine:
    based.offer_two()
    return Machine(based)


def asks_for_a_reboot(node: Node) -> None:
    (node.root / "run").mkdir(exist_ok=True)
    (node.root / "run/reboot-required").touch()


def test_a_machine_is_booted_once_and_health_is_examined_after_that(machine: Machine) -> None:
    run = machine.run("v2", reboot="always")
    assert run.progress.reached and run.progress.rebooted == ("forth",)
    assert machine.ran() == ["pre-update.d", "machine", "health.d", "post-update.d"]
    outcome = machine.outcome(run)
    assert outcome.status_code == 0 and "the machine was booted again after the update" in outcome.stdout
    assert outcome.stderr == ""


def test_nothing_to_do_needs_no_reboot(machine: Machine) -> None:
    machine.run("v2", reboot="always")
    machine.ran()
    run = machine.run("v3", reboot="always")
    assert run.progress.reached and machine.ran() == []


def test_a_reboot_if_needed_is_one_that_somebody_has_a_reason_for(machine: Machine) -> None:
    run = machine.run("v2", reboot="if-needed")
    assert run.progress.reached and "machine" not in machine.ran()
    asks_for_a_reboot(machine.node)
    back = machine.run("v1", "restore", reboot="if-needed")
    assert back.progress.reached and back.progress.rebooted == ("forth",)
    assert machine.ran() == ["pre-update.d", "machine", "health.d", "post-update.d"]


def test_a_machine_that_comes_back_and_still_wants_a_reboot_says_so(machine: Machine) -> None:
    asks_for_a_reboot(machine.node)
    run = machine.run("v2", reboot="if-needed")
    assert run.progress.reached and machine.ran().count("machine") == 1
    outcome = machine.outcome(run)
    assert "came back from its reboot, and still: /run/reboot-required asks for it" in outcome.stderr
    assert outcome.outputs["reboot_required"] is True


def test_without_the_option_nothing_is_rebooted(machine: Machine) -> None:
    asks_for_a_reboot(machine.node)
    assert machine.run("v2").progress.reached and "machine" not in machine.ran()


def test_a_reboot_that_is_refused_twice_is_a_failed_update(machine: Machine) -> None:
    before = machine.node.packages()
    machine.behave("refuse")
    run = machine.run("v2", reboot="always")
    assert machine.ran() == ["pre-update.d", "machine", "machine", "post-update.d"]
    assert run.progress.impact == UNDONE and run.progress.rebooted == ()
    assert machine.node.packages() == before
    said = machine.outcome(run).stderr
    assert "the reboot did not happen" in said and "inhibited by" in said and "was undone" in said


def test_a_reboot_that_is_promised_and_does_not_come_is_asked_for_once_more(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restart, "REBOOT_SECONDS", 0.3)
    machine.behave("deaf")
    run = machine.run("v2", reboot="always", on_failure="keep")
    assert machine.ran() == ["pre-update.d", "machine", "machine", "post-update.d"]
    assert "after the order the machine was still up" in run.failure
    assert run.progress.impact == CHANGED and machine.node.versions()["app"] == "2.0-1"


def test_an_update_that_is_not_healthy_after_its_reboot_is_undone_and_the_machine_booted_back(machine: Machine) -> None:
    machine.node.step("health.d/20-sick", "exit 1")
    before = machine.node.packages()
    run = machine.run("v2", reboot="always")
    assert run.progress.impact == UNDONE and run.progress.rebooted == ("forth", "back")
    assert machine.node.packages() == before
    assert machine.ran() == ["pre-update.d", "machine", "health.d", "health.d", "machine", "post-update.d"]
    outcome = machine.outcome(run)
    assert "after the update" in outcome.stdout and "after the undo" in outcome.stdout
    assert "20-sick" in outcome.stderr


def test_a_machine_that_does_not_boot_back_is_brought_in_and_that_is_said(machine: Machine) -> None:
    machine.node.step("health.d/20-sick", f"echo refuse > {machine.directory}/behaviour; exit 1")
    run = machine.run("v2", reboot="always")
    assert run.progress == Progress(
        UNDONE, BACK_IN_SERVICE, ("forth",), run.progress.reboot_from, run.progress.reboots_asked
    )
    assert machine.ran()[-3:] == ["machine", "machine", "post-update.d"]
    assert any(note.startswith("after the undo: the reboot did not happen") for note in run.notes)


def test_a_private_root_without_a_machine_is_not_rebooted(machine: Machine) -> None:
    machine.node.configure()
    run = machine.run("v2", reboot="always")
    assert run.progress.reached and "machine" not in machine.ran()
    assert "is not the root of this machine" in machine.outcome(run).stderr


class CutOff(BaseException):
    """The worker ends here."""


def cut_off_in_reboot(machine: Machine, asked: int) -> Run:
    """A run whose worker has ended after it had asked so often."""

    site = machine.site

    def end_of_this_process() -> str:
        if site.ledger.runs(limit=1)[0].progress.reboots_asked == asked:
            raise CutOff
        return machine.boot_id()

    run = machine.begin("v2", reboot="always")
    machine.behave("refuse" if asked > 1 else "deaf")
    with pytest.raises(CutOff):
        engine.perform(site._replace(boot_id=end_of_this_process), run)
    cut_off = site.ledger.runs(limit=1)[0]
    assert (cut_off.phase, cut_off.progress.reboots_asked) == (phases.REBOOT, asked)
    machine.ran()
    return cut_off


def test_after_the_boot_the_run_goes_on_with_health(machine: Machine) -> None:
    cut_off = cut_off_in_reboot(machine, 1)
    (machine.directory / "boot").write_text("boot 2\n", encoding="utf-8")
    run = engine.perform(machine.site, engine.taken_up(cut_off))
    assert run.progress.reached and run.progress.rebooted == ("forth",)
    assert machine.ran() == ["health.d", "post-update.d"]
    assert run.notes == ()


def test_in_the_same_boot_the_reboot_is_asked_for_once_more_and_not_for_ever(machine: Machine) -> None:
    cut_off = cut_off_in_reboot(machine, 1)
    machine.behave("obey")
    assert engine.perform(machine.site, engine.taken_up(cut_off)).progress.reached
    assert machine.ran() == ["machine", "health.d", "post-update.d"]


def test_a_worker_that_has_asked_twice_before_its_end_asks_no_third_time(machine: Machine) -> None:
    cut_off = cut_off_in_reboot(machine, 2)
    run = engine.perform(machine.site, engine.taken_up(cut_off))
    assert run.progress.impact == UNDONE and "the reboot did not happen" in run.failure
    assert machine.ran() == ["post-update.d"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_worker_may_end_at_any_of_its_writes_and_the_machine_is_booted_once_in_each_direction(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """One run that is cut off at each of its writes behind the transaction, and taken up again each time."""
    machine.node.step("health.d/20-sick", "exit 1")
    before = machine.node.packages()
    save, seen = Ledger.save_run, set()

    def cut_off_once_at_each(ledger: Ledger, run: Run, *, is_planned: bool = False) -> None:
        where = (run.phase, run.progress, run.after)
        # Who ends twice between writing the order down and giving it has given none, and cannot know that.
        is_left_out = run.phase in (phases.TRANSACT, phases.VERIFY) or (run.phase, run.progress.reboots_asked) == (
            phases.REBOOT,
            2,
        )
        is_new = run.progress.change_began and not is_left_out and where not in seen
        seen.add(where)
        if is_new and moment == "before":
            raise CutOff
        save(ledger, run, is_planned=is_planned)
        if is_new:
            raise CutOff

    monkeypatch.setattr(Ledger, "save_run", cut_off_once_at_each)
    run, ends = machine.begin("v2", reboot="always"), 0
    while not run.finished:
        try:
            run = engine.perform(machine.site, run if not ends else engine.taken_up(run))
        except CutOff:
            ends += 1
            run = machine.site.ledger.runs(limit=1)[0]
        assert ends < 40
    assert ends > 8
    assert run.progress.rebooted == ("forth", "back") and run.progress.impact == UNDONE
    assert machine.node.packages() == before
    ran = machine.ran()
    assert ran.count("machine") == 2 and ran[-1] == "post-update.d"
