"""The life of one run, step by step.

Each phase is written to the ledger before its step begins, and each step takes all that it needs from the run in the ledger, so
that any step can be the last one that happened: whoever comes next calls perform() with the same run again.

    check -> capture -> [refresh] -> plan -> fetch -> leave -> transact -> verify -> health -> return -> record -> finished
                                                                  any failure from here on -> undo -^
"""

import contextlib
import logging
import os
from dataclasses import replace
from typing import IO, Callable, Dict, Iterator, Optional, Sequence, Tuple

from os_update_agent.errors import BUG_STATUS, AgentError, NotRestorable, PackageError, bug
from os_update_agent.model import Package, PackageState, Run, diff
from os_update_agent.node.reboot import boot_id
from os_update_agent.node.run import uninterrupted
from os_update_agent.node.scripts import run_steps, step_environment
from os_update_agent.packages.state import broken, is_torn, sound, transaction, unmet, visible
from os_update_agent.packages.transition import Transition
from os_update_agent.planning import aim_of_restore, aim_of_update
from os_update_agent.policy import Policy
from os_update_agent.retention import prune
from os_update_agent.site import Site, make_private
from os_update_agent.wording import described, labels, mismatch, named

log = logging.getLogger(__name__)

CHECK, CAPTURE, REFRESH, PLAN, FETCH, LEAVE = "check", "capture", "refresh", "plan", "fetch", "leave"
TRANSACT, VERIFY, HEALTH, UNDO, RETURN, RECORD, FINISHED = "transact", "verify", "health", "undo", "return", "record", "finished"

CUT_OFF_AT_MOST = 2
UPDATE, RESTORE, DOWNLOAD, ASSESS = "update", "restore", "download", "assess"


def begin(site: Site, policy: Policy, kind: str, *, config_id: str, state: Optional[int] = None, is_first: bool = False) -> Run:
    """Write a new run down. ``state`` is the one to restore; ``is_first`` keeps the state before as the key's first one."""
    history = site.ledger.history(policy.key)
    record = history.record(policy.value)
    return site.ledger.open_run(
        Run(
            id=0,
            key=policy.key,
            value=policy.value,
            kind=kind,
            phase=CHECK,
            started=site.clock(),
            config_id=config_id,
            policy=policy.as_json(),
            boot_id=boot_id(),
            departing=history.current,
            restored_from=state,
            reached_before=record.reached if record else None,
            is_first=is_first,
        )
    )


def taken_up(run: Run) -> Run:
    """A run that was cut off, as it goes on: anew where nothing was touched yet, for the node may have changed meanwhile.

    A transaction that was cut off again and again is not tried for ever: it is undone, and an undo that is cut off is given up.
    """
    note = f"the run was cut off in phase {run.phase} and taken up again"
    times = run.notes.count(note) + 1
    run = _noted(run, note)
    if times > CUT_OFF_AT_MOST and run.phase == UNDO:
        return replace(run, phase=RETURN, undone=False)
    if times > CUT_OFF_AT_MOST and run.begun and run.phase != RETURN:
        failure = run.failure or f"it was cut off {times} times in phase {run.phase}"
        back = Policy.from_json(run.policy).on_failure == "restore"
        return replace(run, phase=UNDO if back else RETURN, failure=failure, status=run.status or 1)
    return replace(run, phase=run.phase if run.left or run.begun or run.failure else CHECK)


def perform(site: Site, run: Run) -> Run:
    """Take the run from the phase that it is in to its end. Returns the finished run: what failed is in it, nothing is raised for it.

    Raises LedgerError when the run cannot be written down any more.
    """
    run = replace(run, log=run.log or str(site.settings.log / f"{run.id:06d}.log"))
    with _log_file(site, run) as output:
        # dpkg and apt write through their own descriptor: ours has to know where the file ends.
        output.seek(0, os.SEEK_END)
        work = _Work(site, run, output)
        while work.run.phase != FINISHED:
            work.step()
    return work.run


class _Work:
    """One run at work: the run as it is in the ledger, and the doers that its policy asks for."""

    def __init__(self, site: Site, run: Run, output: IO[bytes]) -> None:
        self.site = site
        self.run = run
        self.output = output
        self.policy = Policy.from_json(run.policy)
        self.backend = site.backend(self.policy)
        self.archive = site.archive(self.backend)
        self.transition = Transition(self.backend, self.archive, site.settings.root, output)
        self.steps: Dict[str, Callable[[], Run]] = {
            CHECK: self.check,
            CAPTURE: self.capture,
            REFRESH: self.refresh,
            PLAN: self.plan,
            FETCH: self.fetch,
            LEAVE: self.leave,
            TRANSACT: self.transact,
            VERIFY: self.verify,
            HEALTH: self.health,
            UNDO: self.undo,
            RETURN: self.come_back,
            RECORD: self.record,
        }

    def step(self) -> None:
        """Do the step of the run's phase and write down what comes next."""
        phase = self.run.phase
        log.info("run=%d phase=%s", self.run.id, phase)
        self.say(f"=== {phase}")
        try:
            run = self.steps[phase]()
        except AgentError as error:
            run = self.failed(phase, str(error), error.exit_status)
        except Exception as error:
            # A bug must not leave the node half-done, and must still be reported as a failure.
            log.critical("run=%d phase=%s: %s", self.run.id, phase, bug(error))
            run = self.failed(phase, bug(error), BUG_STATUS)
        self.save(run)

    def save(self, run: Run) -> None:
        self.site.ledger.save_run(run)
        self.run = run

    def say(self, line: str) -> None:
        try:
            self.output.write(f"{line}\n".encode("utf-8", "replace"))
        except OSError:
            # A full disk must not end a run that is to be undone for that very reason; and dpkg fails where it cannot write.
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.output.fileno(), inheritable=False)

    def failed(self, phase: str, why: str, status: int) -> Run:
        """The run after a step failed: undone where a transaction was begun and the policy asks for it, brought back in any case."""
        self.say(f"failed: {why}")
        run = replace(self.run, failure=self.run.failure or why, status=self.run.status or status)
        if phase == UNDO:
            return replace(run, phase=RETURN, undone=False, notes=(*run.notes, f"the undo failed: {why}"))
        if phase == RETURN:
            return _noted(replace(run, phase=RECORD), "the node may still be outside; the next run ends with post-update.d again")
        if phase == RECORD:
            return replace(run, phase=FINISHED, finished=self.site.clock(), reached=False)
        if phase == TRANSACT and run.begun:
            # It may have ended before, in or behind the transaction: the package database says which.
            return replace(run, phase=VERIFY)
        if run.begun and self.policy.on_failure == "restore":
            return replace(run, phase=UNDO)
        return replace(run, phase=RETURN)

    # --- before anything changes

    def check(self) -> Run:
        """Is the package database whole? What somebody else's interruption left is mended; a restore needs only unpacking for that."""
        run = self.run
        self.archive.prepare()
        self.backend.wait()
        interrupted = self.backend.interrupted()
        if interrupted:
            self.backend.settle()
        state = self.backend.capture()
        torn = broken(state)
        if any(map(is_torn, torn)) or (run.kind != RESTORE and (torn or interrupted)):
            self.transition.mend(state)
            left = broken(self.backend.capture())
            cured = named([package.name for package in torn if package.name not in {other.name for other in left}])
            if cured or not torn:
                run = _noted(run, f"an earlier interruption was repaired: {cured or 'its journal'}")
            if left and run.kind != RESTORE:
                run = _noted(
                    run,
                    f"an earlier interruption left {named([f'{package.name} {package.status}' for package in left])}: where this update "
                    "brings no newer version, install it again or remove it by hand",
                )
        return replace(run, phase=CAPTURE)

    def capture(self) -> Run:
        ledger, run = self.site.ledger, self.run
        state = self.backend.capture()
        before = ledger.put_state(state)
        if run.kind == UPDATE:
            if run.departing is not None:
                ledger.record_departing(run.key, run.departing, before)
            if run.is_first:
                ledger.record_first_state(run.key, before)
        return replace(run, before=before, phase=PLAN if run.kind == RESTORE else REFRESH)

    def refresh(self) -> Run:
        self.backend.refresh()
        return replace(self.run, phase=PLAN)

    def plan(self) -> Run:
        before = self.state(self.run.before)
        if self.run.kind == RESTORE:
            assert self.run.restored_from is not None
            aim = aim_of_restore(self.site.ledger, self.policy, before, self.run.restored_from)
        else:
            aim = aim_of_update(self.backend, self.policy, before)
        target = aim.target
        number = self.site.ledger.put_state(target)
        run = replace(self.run, target=number, held_back=aim.held_back, removes_foreign=aim.removes_foreign)
        for change in visible(diff(before, target)):
            self.say(described(change))
        if run.kind == ASSESS:
            return replace(run, not_restorable=_labels(self.transition.lost_by(before, target)), phase=RECORD)
        if not unmet(before, target):
            # Nothing to do; but a node that an earlier run has left outside still has to be brought back.
            return replace(run, after=run.before, phase=RETURN)
        return replace(run, phase=FETCH)

    def fetch(self) -> Run:
        """The old files are kept before they are replaced, the new ones are here before anything is touched, and there is room."""
        before, target = self.state(self.run.before), self.state(self.run.target)
        if self.run.kind == RESTORE and self.archive.missing(transaction(before, target).install):
            self.try_refresh()
        self.transition.fetch(before, target)
        run = self.keep_old(before, target)
        if run.kind == DOWNLOAD:
            return replace(run, after=run.before, phase=RECORD)
        self.transition.check_space(before, target)
        self.transition.rehearse(before, target, forced=run.kind == RESTORE)
        self.check_deadline()
        return replace(run, phase=LEAVE)

    def keep_old(self, before: PackageState, target: PackageState) -> Run:
        if self.policy.archive == "off":
            return replace(self.run, not_restorable=_labels(self.transition.lost_by(before, target)))
        lost, repacked = self.transition.keep_old(before, target)
        if lost and self.policy.archive == "required":
            raise NotRestorable(
                f"{labels(tuple(lost))} could not be put back afterwards (archive: required): neither the archive nor a repository has "
                f"the file; {named(tuple(lost.values()))}"
            )
        for reason in lost.values():
            self.say(f"neither in the archive nor in a repository; {reason}")
        return replace(self.run, not_restorable=_labels(tuple(lost)), repacked=repacked)

    def try_refresh(self) -> None:
        try:
            self.backend.refresh()
        except PackageError as error:
            self.say(f"the index was not refreshed: {error}")

    def check_deadline(self) -> None:
        """Law 4: a deadline is checked before the transaction, never inside it."""
        deadline = self.policy.deadline
        late = self.site.clock() - self.run.started
        if deadline is not None and late > deadline:
            raise AgentError(f"too late: {late:.0f} s have passed and deadline is {deadline:g} s; the transaction was not started")

    # --- outside

    def leave(self) -> Run:
        """Take the node out of service. That this was begun is written down first: whatever happens, it has to come back."""
        self.save(replace(self.run, left=True))
        self.operator_steps("pre-update.d")
        return replace(self.run, phase=TRANSACT)

    def transact(self) -> Run:
        self.run = replace(self.run, begun=True)
        self.site.ledger.begin_change(self.run)
        complaints = self.transition.go(self.state(self.run.target), forced=self.run.kind == RESTORE)
        if complaints and self.policy.on_failure == "keep":
            with uninterrupted():
                self.backend.repair(self.output)
        return replace(self.run, complaints=complaints, phase=VERIFY)

    def verify(self) -> Run:
        """Law 2: ask the package database what happened, not the exit status."""
        state = self.backend.capture()
        self.save(replace(self.run, after=self.site.ledger.put_state(state)))
        if self.run.failure and not diff(self.state(self.run.before), state) and not self.backend.interrupted():
            # The lock was not free, say: there is nothing to undo.
            return replace(self.run, begun=False, phase=RETURN)
        missed = unmet(state, self.state(self.run.target))
        if missed:
            said = "; ".join(self.run.complaints) or "the package manager said nothing of it"
            raise PackageError(f"the planned state was not reached: {said} ({named([mismatch(change) for change in missed])})")
        if self.run.complaints or self.run.failure:
            raise PackageError("; ".join(self.run.complaints) or self.run.failure)
        return replace(self.run, phase=HEALTH)

    def health(self) -> Run:
        self.operator_steps("health.d")
        return replace(self.run, phase=RETURN)

    def undo(self) -> Run:
        """Law 6: put back the state that was captured before, by the same kind of transaction, and look whether it is there."""
        target = sound(self.state(self.run.before))
        self.backend.wait()
        if self.backend.interrupted():
            # What has to be fetched for the way back shows in a settled database only.
            self.backend.settle()
        self.transition.fetch(self.backend.capture(), target)
        complaints = self.transition.go(target, forced=True)
        state = self.backend.capture()
        run = replace(self.run, after=self.site.ledger.put_state(state))
        left_over = unmet(state, target)
        if left_over:
            self.say(f"not undone: {complaints}")
            differs = named([mismatch(change) for change in left_over])
            return replace(run, undone=False, notes=(*run.notes, f"the undo is not complete: {differs}"), phase=RETURN)
        return replace(run, undone=True, phase=RETURN)

    def come_back(self) -> Run:
        """Law 7: bring the node back into service, however the update ended."""
        if not (self.run.left or self.is_outside()):
            return replace(self.run, phase=RECORD)
        self.save(replace(self.run, left=True))
        self.operator_steps("post-update.d")
        return replace(self.run, returned=True, phase=RECORD)

    def operator_steps(self, directory: str) -> None:
        outcome = ""
        if directory == "post-update.d":
            outcome = "success" if not self.run.failure else "undone" if self.run.undone else "failed"
        run_steps(
            self.site.settings.steps / directory,
            environment=step_environment(self.run.value, self.run.kind, outcome),
            output=self.output,
            timeout=self.policy.script_timeout,
        )

    # --- the end

    def record(self) -> Run:
        """The truth goes into the history: reached, unchanged, or somewhere in between."""
        run, ledger = self.run, self.site.ledger
        now = self.site.clock()
        reached = not run.failure
        if run.leads_to_value:
            if reached and run.after is not None:
                ledger.record_reached(run.key, run.value, run.after, run.id, now)
                run = self.cleaned_up(run)
            elif (run.begun and not run.undone) or (run.left and not run.returned):
                ledger.record_current(run.key, None)
            else:
                ledger.record_current(run.key, run.departing)
        self.say("=== finished")
        return replace(run, reached=reached, finished=now, phase=FINISHED)

    def cleaned_up(self, run: Run) -> Run:
        """Drop the package files that nobody needs. What cannot be dropped takes space, and takes nothing from what was reached."""
        try:
            prune(self.site.ledger, self.archive, self.policy, besides=run.id)
        except (AgentError, OSError) as error:
            return _noted(run, f"the archive could not be cleaned up: {error}")
        return run

    def state(self, number: Optional[int]) -> PackageState:
        if number is None:
            raise AgentError(f"run {self.run.id} is in phase {self.run.phase} without the state that this needs")
        return self.site.ledger.state(number)

    def is_outside(self) -> bool:
        """Did an earlier run take the node out of service and not bring it back?"""
        for run in self.site.ledger.runs():
            if run.id != self.run.id and run.left:
                return not run.returned
        return False


def _noted(run: Run, note: str) -> Run:
    return replace(run, notes=(*run.notes, note))


@contextlib.contextmanager
def _log_file(site: Site, run: Run) -> Iterator[IO[bytes]]:
    """The run's log; nowhere, when it cannot be written: a run that is begun has to come to its end."""
    try:
        make_private(site.settings.log)
        output = open(run.log, "ab", buffering=0, opener=_private)  # noqa: SIM115
    except (AgentError, OSError) as error:
        log.error("run=%d has no log: %s", run.id, error)
        output = open(os.devnull, "ab", buffering=0)  # noqa: SIM115
    with output:
        yield output


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _labels(packages: Sequence[Package]) -> Tuple[str, ...]:
    return tuple(package.label for package in packages)
