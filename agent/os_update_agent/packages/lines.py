"""Lines that a package manager prints, and the error for one that is not understood. Pure."""

from typing import List

from os_update_agent.model.errors import PackageError

_SHOWN = 200


def misread(program: str, line: str) -> PackageError:
    """Return the error for a line of a program."""
    shown = line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."
    return PackageError(f"{program} printed a line that is not understood: {shown!r}")


def fields_of(program: str, line: str, count: int) -> List[str]:
    """Return the fields of a line, which tabs separate. Raises PackageError unless there are ``count``."""
    fields = line.split("\t")
    if len(fields) != count:
        raise misread(program, line)
    return fields


def number_of(program: str, text: str, line: str) -> int:
    """Return the number that a field of the line holds. Raises PackageError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise misread(program, line)
    return int(text)
