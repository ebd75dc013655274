"""The words of a run as they lie in the ledger: its kinds, its phases, its directions, and how far it has come."""

from typing import Final, Literal

RunKind = Literal["update", "restore", "download", "assess", "stop", "start"]
UPDATE: Final = "update"
RESTORE: Final = "restore"
DOWNLOAD: Final = "download"
ASSESS: Final = "assess"
STOP: Final = "stop"
START: Final = "start"

Phase = Literal[
    "check", "capture", "refresh", "plan", "fetch", "leave", "transact", "verify",
    "restart", "reboot", "health", "undo", "return", "record", "finished",
]  # fmt: skip
CHECK: Final = "check"
CAPTURE: Final = "capture"
REFRESH: Final = "refresh"
PLAN: Final = "plan"
FETCH: Final = "fetch"
LEAVE: Final = "leave"
TRANSACT: Final = "transact"
VERIFY: Final = "verify"
RESTART: Final = "restart"
REBOOT: Final = "reboot"
HEALTH: Final = "health"
UNDO: Final = "undo"
RETURN: Final = "return"
RECORD: Final = "record"
FINISHED: Final = "finished"

# A run goes to its aim, and back by its undo.
Direction = Literal["forth", "back"]
FORTH: Final = "forth"
BACK: Final = "back"

# What a run has done to the packages (or to the services, if it stops or starts them).
Impact = Literal["untouched", "changed", "undone", "not undone"]
UNTOUCHED: Final = "untouched"
CHANGED: Final = "changed"
UNDONE: Final = "undone"
NOT_UNDONE: Final = "not undone"

# Where the node is: in service, taken out by pre-update.d, or brought back by post-update.d.
Service = Literal["in", "out", "back"]
IN_SERVICE: Final = "in"
OUT_OF_SERVICE: Final = "out"
BACK_IN_SERVICE: Final = "back"

# How a run ended, in one word for tables and for an operator's scripts.
Result = Literal["open", "success", "undone", "failed"]
