"""The frozen values that flow through the agent. No behaviour beyond what a value can say about itself."""

from os_update_agent.model.deliveries import Delivery, Deployment, Outcome, Output, OwedSignal, Request, SignalTarget
from os_update_agent.model.packages import (
    CONFIG_FILES,
    NEUTRAL_ARCHES,
    ArchiveEntry,
    Change,
    HeldBack,
    Identity,
    Package,
    PackageState,
    Row,
    Selection,
    Slot,
    Transaction,
    as_package,
    diff,
    with_rows,
)
from os_update_agent.model.runs import History, Record, Run

__all__ = [
    "CONFIG_FILES",
    "NEUTRAL_ARCHES",
    "ArchiveEntry",
    "Change",
    "Delivery",
    "Deployment",
    "HeldBack",
    "History",
    "Identity",
    "Outcome",
    "Output",
    "OwedSignal",
    "Package",
    "PackageState",
    "Record",
    "Request",
    "Row",
    "Run",
    "Selection",
    "SignalTarget",
    "Slot",
    "Transaction",
    "as_package",
    "diff",
    "with_rows",
]
