"""One run at work: the run as it is in the ledger, and the doers that its policy asks for."""

import os
import time
from dataclasses import replace
from typing import IO, Any, Callable, Dict, Optional, Tuple

from os_update_agent.config.policy import Policy
from os_update_agent.model.errors import AgentError
from os_update_agent.model.packages import PackageState
from os_update_agent.model.phases import UNDONE, Direction, Impact, Phase, Service
from os_update_agent.model.runs import Run
from os_update_agent.node.hook_dirs import check_steps, run_steps, step_environment
from os_update_agent.node.reboot import is_booting
from os_update_agent.packages.interruption import Settled
from os_update_agent.packages.printed import telling_lines
from os_update_agent.packages.transition import Transition
from os_update_agent.runs.transitions import Event
from os_update_agent.runtime.context import Site
from os_update_agent.text.outcomes import when
from os_update_agent.text.phrases import repaired

BOOT_SECONDS = 600.0
BOOT_POLL_SECONDS = 0.2
# What stands before a phase in the log.
ENTERED = "=== "


# The directories of the operator's steps.
STEPS = ("pre-update.d", "health.d", "post-update.d")


class Work:
    """What every phase works with. ``output`` is the run's log, a regular file."""

    def __init__(self, site: Site, run: Run, output: IO[bytes]) -> None:
        self.site = site
        self.run = run
        self.output = output
        self._begun, self._begun_monotonic = site.clock(), time.monotonic()
        self.policy = Policy.from_json(run.policy)
        self.backend = site.backend(self.policy)
        self.archive = site.archive(self.backend)
        self.systemctl = site.settings.services
        self.transition = Transition(self.backend, self.archive, site.settings.root, output)

    def save(self, run: Run, *, is_planned: bool = False) -> None:
        """Store the run before its next phase begins; ``is_planned`` says that it has just got its plan. Raises
        LedgerError.
        """
        self.site.ledger.save_run(run, is_planned=is_planned)
        self.run = run

    def say(self, line: str) -> None:
        try:
            self.output.write(f"{line}\n".encode("utf-8", "replace"))
        except OSError:
            # A full disk must not end a run that is to be undone for that very reason; and dpkg fails where it cannot
            # write.
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.output.fileno(), inheritable=False)

    def enter(self, phase: Phase) -> None:
        self.say(f"{when(self.site.clock())} {ENTERED}{phase}")

    def said_in(self, phase: Phase) -> str:
        """Return the lines of the run's log that mean something, since the run came to the phase for the first time;
        nothing where it cannot be read.
        """
        return telling_lines(self.run.log, f"{ENTERED}{phase}")

    def state(self, number: Optional[int]) -> PackageState:
        if number is None:
            raise AgentError(f"run {self.run.id} is in phase {self.run.phase} without the state that this needs")
        return self.site.ledger.state(number)

    def check_deadline(self) -> None:
        """Law 4: a deadline is checked before the transaction, never inside it. It counts from the delivery, as Heat's
        timeout does.

        Raises AgentError.
        """
        delivery, deadline = self.site.ledger.delivery(self.run.config_id), self.policy.deadline
        received = delivery.received if delivery is not None else self.run.started
        # The clock may have been set back since.
        late = max(self.site.clock() - received, self._begun - received + time.monotonic() - self._begun_monotonic)
        if deadline is not None and late > deadline:
            raise AgentError(
                f"too late: {late:.0f} s have passed and deadline is {deadline:g} s; the transaction was not started"
            )

    def wait_for_boot(self) -> None:
        """After a boot in the middle of the run: what the operator's steps look at must have been started."""
        if self.systemctl is None or self.site.boot_id() == self.run.boot_id:
            return
        end = time.monotonic() + BOOT_SECONDS
        while is_booting(self.systemctl):
            if time.monotonic() > end:
                self.save(
                    noted(self.run, f"{BOOT_SECONDS:g} s after the boot not everything was started; the run went on")
                )
                return
            time.sleep(BOOT_POLL_SECONDS)

    def check_steps(self) -> None:
        """Check all steps of the operator: one that is not run at the end would leave the node out of service. Raises
        StepFailed.
        """
        settings = self.site.settings
        for directory in STEPS:
            check_steps(settings.steps / directory, is_trial=settings.is_trial)

    def operator_steps(self, directory: str) -> None:
        """Run the operator's steps of a directory. Raises StepFailed."""
        self.wait_for_boot()
        outcome = ""
        if directory == "post-update.d":
            undone = self.run.progress.impact == UNDONE
            outcome = "success" if not self.run.failure else "undone" if undone else "failed"
        run_steps(
            self.site.settings.steps / directory,
            environment=step_environment(self.run.value, self.run.kind, outcome),
            output=self.output,
            timeout=self.policy.script_timeout,
            is_trial=self.site.settings.is_trial,
        )


def noted(run: Run, note: str) -> Run:
    return replace(run, notes=(*run.notes, note))


def with_repair(run: Run, done: Settled) -> Run:
    """Return the run with the repair of an earlier interruption, which it reports and answers for."""
    if done.complaints:
        run = noted(
            run,
            f"the package manager complained while an earlier interruption was repaired: {'; '.join(done.complaints)}",
        )
    if not done.names:
        return run
    run = noted(run, f"an earlier interruption was repaired: {repaired(done.present, done.removed)}")
    return answering_for(run, done)


def answering_for(run: Run, done: Settled) -> Run:
    """Return the run with the packages that a repair has changed: it answers for their files."""
    return replace(run, repaired=tuple(sorted({*run.repaired, *done.names})))


def moved(
    run: Run,
    *,
    impact: Optional[Impact] = None,
    service: Optional[Service] = None,
    rebooted: Optional[Tuple[Direction, ...]] = None,
    reboot_from: Optional[str] = None,
    reboots_asked: Optional[int] = None,
    reached: Optional[bool] = None,
) -> Run:
    """Return the run with these parts of its progress changed."""
    given: Dict[str, Any] = {
        "impact": impact,
        "service": service,
        "rebooted": rebooted,
        "reboot_from": reboot_from,
        "reboots_asked": reboots_asked,
        "reached": reached,
    }
    changed = {name: value for name, value in given.items() if value is not None}
    return replace(run, progress=replace(run.progress, **changed))


# A phase returns the run as it goes on and what has happened; the table of transitions says which phase follows.
# An exception is a failure of the run.
Step = Callable[[Work], Tuple[Run, Event]]
