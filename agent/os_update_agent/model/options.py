"""The words that an option or a setting takes, the default first. A misspelled one is a type error."""

from typing import Literal

# The setting ``backend`` of agent.conf; "dnf" is whichever dnf the node has.
BackendName = Literal["auto", "apt", "dnf", "dnf5"]
NodeKind = Literal["auto", "package-based"]
Operation = Literal["update", "download", "assess", "stop", "start"]
Select = Literal["all", "security"]
Removals = Literal["allow", "refuse"]
ConfigFiles = Literal["keep", "replace"]
ArchiveRule = Literal["best-effort", "required", "off"]
RestoreScope = Literal["exact", "changes"]
OnCreate = Literal["baseline", "update"]
OnFailure = Literal["restore", "keep"]
EtcFilesRule = Literal["report", "restore"]
RebootRule = Literal["never", "if-needed", "always"]
ServicesRule = Literal["report", "restart"]
