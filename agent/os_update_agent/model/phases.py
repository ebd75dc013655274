"""The names of the phases and of the kinds of runs, as they lie in the ledger."""

CHECK, CAPTURE, REFRESH, PLAN, FETCH, LEAVE = "check", "capture", "refresh", "plan", "fetch", "leave"
TRANSACT, VERIFY, RESTART, REBOOT, HEALTH = "transact", "verify", "restart", "reboot", "health"
UNDO, RETURN, RECORD, FINISHED = "undo", "return", "record", "finished"

UPDATE, RESTORE, DOWNLOAD, ASSESS, STOP, START = "update", "restore", "download", "assess", "stop", "start"

# The two directions of a run: to its aim, and back by its undo.
FORTH, BACK = "forth", "back"
