"""agent.conf from Heat's metadata: what the template of os-apply-config runs, with the metadata as JSON on standard
input.

A file that an operator has written stays. What the metadata hold is written as it is, also when it is wrong: then the
next deployment fails with a sentence that names the section and the key, where a template that failed would stop every
deployment of the node.
"""

import json
import sys
from pathlib import Path
from typing import Any, Mapping

KEY = "os-update-agent"
COMPLAINT = "agent.conf is not rendered: the metadata on standard input"
MARK = f"# Written by os-apply-config from the metadata key {KEY}: what is changed here is lost.\n"


def agent_conf(metadata: Mapping[str, Any], present: str) -> str:
    """The new content, given the present one; "" means no file. Pure."""
    is_ours = not present.strip() or present.startswith(MARK)
    if not is_ours:
        return present
    wanted = metadata.get(KEY)
    if wanted in (None, "", {}):
        return ""
    return MARK + _ini(wanted)


def _ini(wanted: Any) -> str:
    if not isinstance(wanted, dict) or not all(isinstance(section, dict) for section in wanted.values()):
        # The agent refuses it by its name, and Heat hears that.
        return f"[the metadata key {KEY} must be a map of sections, each a map of options]\n"
    lines = []
    for name, section in wanted.items():
        lines.append(f"[{_line(name)}]")
        lines += [f"{_line(key)} = {_line(value)}" for key, value in section.items()]
    return "".join(f"{line}\n" for line in lines)


def _line(value: Any) -> str:
    """A value in one line, as an INI file takes it."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    return " ".join(text.split())


def main() -> int:
    file = Path(sys.argv[1])
    present = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    # Half a surrogate pair, which JSON can hold and UTF-8 cannot, is written as it was escaped.
    sys.stdout.buffer.write(agent_conf(_metadata(sys.stdin.buffer.read()), present).encode(errors="backslashreplace"))
    return 0


def _metadata(given: bytes) -> Mapping[str, Any]:
    """Ends the program with a sentence where the metadata cannot be read."""
    try:
        metadata = json.loads(given.decode())
    except UnicodeDecodeError as error:
        sys.exit(
            f"{COMPLAINT} are not UTF-8: the byte 0x{given[error.start]:02x} at offset {error.start} must be part of a"
            " character"
        )
    except json.JSONDecodeError as error:
        sys.exit(f"{COMPLAINT} are no JSON: {error}")
    if not isinstance(metadata, dict):
        sys.exit(f"{COMPLAINT} are a JSON {type(metadata).__name__}; they must be a map")
    return metadata


if __name__ == "__main__":
    sys.exit(main())
