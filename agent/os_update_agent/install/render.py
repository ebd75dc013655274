"""Renders agent.conf from Heat's metadata. os-apply-config's template runs it with the metadata as JSON on stdin.

A file that the operator has written stays. Wrong metadata are written as they are: the next deployment then fails and
names the section and the key. A template that failed would stop every deployment of the node.
"""

import json
import sys
from pathlib import Path
from typing import Any, Mapping

from os_update_agent.config.bounded_files import read_text
from os_update_agent.model.bounded_json import TooLarge, read_json

# All that Heat has for the server, its deployments included.
METADATA_LIMIT = 32 << 20
KEY = "os-update-agent"
COMPLAINT = "agent.conf is not rendered: the metadata on standard input"
MARK = f"# Written by os-apply-config from the metadata key {KEY}: what is changed here is lost.\n"


def agent_conf(metadata: Mapping[str, Any], present: str) -> str:
    """Return the new content, given the present one; '' means no file. Pure."""
    is_ours = not present.strip() or present.startswith(MARK)
    if not is_ours:
        return present
    wanted = metadata.get(KEY)
    if wanted in (None, "", {}):
        return ""
    return MARK + _ini(wanted)


def _ini(wanted: Any) -> str:
    if not isinstance(wanted, dict) or not all(isinstance(section, dict) for section in wanted.values()):
        # The agent refuses this section by its name and reports that to Heat.
        return f"[the metadata key {KEY} must be a map of sections, each a map of options]\n"
    lines = []
    for name, section in wanted.items():
        lines.append(f"[{_line(name)}]")
        lines += [f"{_line(key)} = {_line(value)}" for key, value in section.items()]
    return "".join(f"{line}\n" for line in lines)


def _line(value: Any) -> str:
    """Return a value as one line of an INI file."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    return " ".join(text.split())


def main() -> int:
    file = Path(sys.argv[1])
    present = _present(file)
    # JSON can hold half a surrogate pair, UTF-8 cannot: write its escape.
    given = sys.stdin.buffer.read(METADATA_LIMIT + 1)
    sys.stdout.buffer.write(agent_conf(_metadata(given), present).encode(errors="backslashreplace"))
    return 0


def _present(file: Path) -> str:
    """Return the text of the present file, "" if there is none. Exits with a message if it cannot be read."""
    try:
        return read_text(file, errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        sys.exit(f"os-update-agent: {file} cannot be read: {error.strerror}")


def _metadata(given: bytes) -> Mapping[str, Any]:
    """Return the metadata. Exits with a message if they cannot be read."""
    try:
        metadata = read_json(given.decode(), METADATA_LIMIT)
    except UnicodeDecodeError as error:
        sys.exit(
            f"{COMPLAINT} are not UTF-8: the byte 0x{given[error.start]:02x} at offset {error.start} must be part of a"
            " character"
        )
    except TooLarge as error:
        sys.exit(f"{COMPLAINT} cannot be used: the text {error}")
    except ValueError as error:
        sys.exit(f"{COMPLAINT} are no JSON: {error}")
    if not isinstance(metadata, dict):
        sys.exit(f"{COMPLAINT} are a JSON {type(metadata).__name__}; they must be a map")
    return metadata


if __name__ == "__main__":
    sys.exit(main())
