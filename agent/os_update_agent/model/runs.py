"""What the node has been through: runs, and the values that they led to."""

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Tuple

from os_update_agent.model.packages import HeldBack


@dataclass(frozen=True)
class Record:
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


@dataclass(frozen=True)
class History:
    """All that is known under one key. ``current`` is the reached value that the node stands at, None where a run left
    it elsewhere.

    ``first_state`` is the state before the first update, for a key whose first value was never told (a template with
    actions [UPDATE]).
    """

    key: str
    current: Optional[str] = None
    first_state: Optional[int] = None
    records: Tuple[Record, ...] = ()

    @property
    def is_known(self) -> bool:
        return bool(self.records)

    def record(self, value: str) -> Optional[Record]:
        return next((record for record in self.records if record.value == value), None)


@dataclass(frozen=True)
class Run:
    """One attempt to bring the node to a value: everything that its next step, perhaps after a crash, has to know.

    ``before``, ``target``, ``after`` and ``restored_from`` are states in the ledger; ``reached_before`` is when the
    value was reached last. ``begun`` is set before a transaction starts; ``left`` and ``returned`` tell whether
    pre-update.d was begun and post-update.d has ended well; ``undone`` is None until an undo was tried. ``were_active``
    are the services that were found running.

    ``boot_id`` is the boot in which the run began, ``reboot_from`` the one that a reboot is to end, asked for
    ``reboots_asked`` times; ``rebooted`` holds the directions ("forth", "back") in which that has happened.
    ``restarted`` are the services that were restarted because their code was replaced, ``restart_last`` those that wait
    until everybody is done.
    """

    id: int
    key: str
    value: str
    kind: str
    phase: str
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
    restored_from: Optional[int] = None
    reached_before: Optional[float] = None
    is_first: bool = False
    held_back: Tuple[HeldBack, ...] = ()
    not_restorable: Tuple[str, ...] = ()
    repacked: Tuple[str, ...] = ()
    removes_foreign: Tuple[str, ...] = ()
    notes: Tuple[str, ...] = ()
    failure: str = ""
    status: int = 0
    complaints: Tuple[str, ...] = ()
    begun: bool = False
    undone: Optional[bool] = None
    left: bool = False
    returned: bool = False
    were_active: Tuple[str, ...] = ()
    reboot_from: str = ""
    reboots_asked: int = 0
    rebooted: Tuple[str, ...] = ()
    restarted: Tuple[str, ...] = ()
    restart_last: Tuple[str, ...] = ()
    reached: bool = False

    @property
    def leads_to_value(self) -> bool:
        """Is the run's aim the state of a value? A download, an assessment, a stop or a start has none."""
        return self.kind in ("update", "restore")

    def goes_on_from(self, other: "Run") -> bool:
        """Is this a run of the kind that takes up what the other has changed?"""
        return self.switches_services if other.switches_services else self.leads_to_value

    @property
    def switches_services(self) -> bool:
        return self.kind in ("stop", "start")

    @property
    def result(self) -> str:
        """The run in one word for tables and for the scripts of an operator."""
        if self.finished is None:
            return "open"
        if self.reached:
            return "success"
        return "undone" if self.undone else "failed"
