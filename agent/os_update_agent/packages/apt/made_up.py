"""Makes up dpkg's status file as it will be after a transaction, so that apt can rehearse the way back. Pure."""

import re
from typing import Collection, Sequence

from os_update_agent.model.packages import NEUTRAL_ARCHES, Slot

_FIELD = re.compile(r"^(Package|Architecture):[ \t]*(\S+)", re.M)


def status_after(status: str, gone: Collection[Slot], controls: Sequence[str], native: str) -> str:
    """Return the status file in which the packages of these control files are installed, and those in the places
    ``gone`` are not. The places are those of a PackageState.
    """
    new = {_slot(control, native): f"{control.strip()}\nStatus: install ok installed" for control in controls}
    left = new.keys() | set(gone)
    stanzas = (text.strip("\n") for text in status.split("\n\n") if text.strip())
    kept = [text for text in stanzas if _slot(text, native) not in left]
    return "".join(f"{text}\n\n" for text in (*kept, *new.values()))


def _slot(stanza: str, native: str) -> Slot:
    fields = dict(_FIELD.findall(stanza))
    arch = fields.get("Architecture", native)
    return fields.get("Package", ""), "" if arch in (native, *NEUTRAL_ARCHES) else arch
