"""The words that an option takes, the default first. config/options.py reads them; a misspelled one is a type error."""

from typing import Literal

Operation = Literal["update", "download", "assess", "stop", "start"]
Select = Literal["all", "security"]
Removals = Literal["allow", "refuse"]
ConfigFiles = Literal["keep", "replace"]
ArchiveRule = Literal["best-effort", "required", "off"]
RestoreScope = Literal["exact", "changes"]
OnFailure = Literal["restore", "keep"]
RebootRule = Literal["never", "if-needed", "always"]
ServicesRule = Literal["report", "restart"]
