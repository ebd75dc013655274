"""What the node has been through: runs, and the values that they led to."""

from dataclasses import dataclass, field
from typing import Any, Mapping, NamedTuple, Optional, Tuple

from os_update_agent.model.phases import (
    BACK,
    FORTH,
    IN_SERVICE,
    NOT_UNDONE,
    RESTORE,
    START,
    STOP,
    UNDONE,
    UNTOUCHED,
    UPDATE,
    Direction,
    Impact,
    Phase,
    Result,
    RunKind,
    Service,
)
from os_update_agent.model.plans import Plan


class Record(NamedTuple):
    """What the ledger holds under one value: was it reached, and with which state.

    ``run`` is the last that tried it, ``reached_run`` the last that reached it (None for a baseline). Times are for
    people only: a node's clock may step.
    """

    value: str
    state: Optional[int]
    tried: float
    reached: Optional[float]
    run: Optional[int] = None
    reached_run: Optional[int] = None

    @property
    def is_reached(self) -> bool:
        return self.reached is not None and self.state is not None


class History(NamedTuple):
    """All that is known under one key.

    Attributes:
        current: The reached value that the node stands at. None if a run left the node elsewhere.
        first_state: The state before the first update, for a key that began without a baseline.
        records: The values, in the order in which they were reached last; those that never were come last.
        began: The value of the baseline, or of the first update. None in the ledger of an older agent.
        moved_from: The value that was current until a run of another key moved packages of this key.
        moved_by: The number of that run. None as long as no other key has moved them.
    """

    key: str
    current: Optional[str] = None
    first_state: Optional[int] = None
    records: Tuple[Record, ...] = ()
    began: Optional[str] = None
    moved_from: Optional[str] = None
    moved_by: Optional[int] = None

    @property
    def is_known(self) -> bool:
        return bool(self.records)

    def record(self, value: str) -> Optional[Record]:
        return next((record for record in self.records if record.value == value), None)


@dataclass(frozen=True)
class Progress:
    """How far a run has come: what it has touched, and what it has put back.

    Attributes:
        impact: What the run has done to the packages or services. "changed" is stored before a transaction starts,
            "undone" and "not undone" after an undo was tried.
        service: "out" is stored before pre-update.d starts, "back" after post-update.d has succeeded.
        rebooted: The directions in which the machine was rebooted for this run, at most once each.
        reboot_from: The boot that a requested reboot is to end ("" while none is requested).
        reboots_asked: How often that reboot was requested.
        reached: The run has finished and succeeded.
    """

    impact: Impact = UNTOUCHED
    service: Service = IN_SERVICE
    rebooted: Tuple[Direction, ...] = ()
    reboot_from: str = ""
    reboots_asked: int = 0
    reached: bool = False

    @property
    def is_untouched(self) -> bool:
        """Has the run neither changed anything nor taken the node out of service?"""
        return not self.change_began and self.service == IN_SERVICE

    @property
    def change_began(self) -> bool:
        """Has a transaction of this run started, whatever became of it?"""
        return self.impact != UNTOUCHED

    @property
    def undo_was_tried(self) -> bool:
        return self.impact in (UNDONE, NOT_UNDONE)

    @property
    def direction(self) -> Direction:
        return BACK if self.undo_was_tried else FORTH


@dataclass(frozen=True)
class Run:
    """One attempt to bring the node to a value: everything that its next phase, perhaps after a crash, has to know.

    Attributes:
        config_id: The delivery that the run is for.
        policy: The policy as Policy.as_json() made it.
        boot_id: The boot in which the run began.
        log: The path of the run's log ("" until the run has one).
        before, target, after, restored_from: Numbers of package states in the ledger.
        departing: The value that the node leaves.
        departing_state: The state that was recorded for it when the run began; ``before`` may differ from it.
        reached_before: When the run's value was reached last (seconds since the epoch).
        is_first: The state before the run is kept as the key's first state.
        plan: What the run wants to change (empty until it has planned).
        failure, status: Why the run failed and the exit status that stands for it ("" and 0 while it has not).
        complaints: The complaints of the package manager about the transaction.
        were_active: The services that were running before a stop or start.
        restarted: The services that were restarted because they ran replaced code.
        restart_last: The services that are restarted after the run because the agent is called by them.
        repaired: The names of the packages that the repair of an earlier interruption has installed or removed. The run
            answers for their files.
        faults_before: The paths whose files were not as their packages have them when the way back began; a path below
            one of these has a fault, too (None: the run has not looked).
        etc_before, etc_after: Numbers of the listings of the files below /etc before the first transaction and at the
            end.
        edits_back: The edited configuration files that were put back before the transaction of a way back.
        agent: The version of the agent that began the run ("" in a run of a version that did not record it).
        etc_differs: After a way back, the files below /etc that differ from the state, a phrase each.
    """

    id: int
    key: str
    value: str
    kind: RunKind
    phase: Phase
    started: float
    config_id: str = ""
    policy: Mapping[str, Any] = field(default_factory=dict)
    boot_id: str = ""
    log: str = ""
    finished: Optional[float] = None
    before: Optional[int] = None
    target: Optional[int] = None
    after: Optional[int] = None
    departing: Optional[str] = None
    departing_state: Optional[int] = None
    restored_from: Optional[int] = None
    reached_before: Optional[float] = None
    is_first: bool = False
    progress: Progress = field(default_factory=Progress)
    plan: Plan = field(default_factory=Plan)
    notes: Tuple[str, ...] = ()
    failure: str = ""
    status: int = 0
    complaints: Tuple[str, ...] = ()
    were_active: Tuple[str, ...] = ()
    restarted: Tuple[str, ...] = ()
    restart_last: Tuple[str, ...] = ()
    repaired: Tuple[str, ...] = ()
    faults_before: Optional[Tuple[str, ...]] = None
    etc_before: Optional[int] = None
    etc_after: Optional[int] = None
    etc_differs: Tuple[str, ...] = ()
    edits_back: Tuple[str, ...] = ()
    agent: str = ""

    @property
    def leads_to_value(self) -> bool:
        """Is the run's aim the state of a value? A download, an assessment, a stop or a start has none."""
        return self.kind in (UPDATE, RESTORE)

    @property
    def switches_services(self) -> bool:
        return self.kind in (STOP, START)

    @property
    def is_as_before(self) -> bool:
        """Has the run failed and left nothing to undo?"""
        return not self.progress.reached and self.progress.impact in (UNDONE, UNTOUCHED)

    def goes_on_from(self, other: "Run") -> bool:
        """Is this a run of the kind that takes up what the other has changed?"""
        return self.switches_services if other.switches_services else self.leads_to_value

    @property
    def result(self) -> Result:
        if self.finished is None:
            return "open"
        if self.progress.reached:
            return "success"
        return "undone" if self.progress.impact == UNDONE else "failed"
