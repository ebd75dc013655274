"""Reads the fields that the README promises for --json, and those that a document has."""

import re
from pathlib import Path
from typing import Any, Set


def documented(command: str) -> Set[str]:
    """The fields of a command's document that the README promises."""
    text = (Path(__file__).parents[2] / "README.rst").read_text(encoding="utf-8")
    row = re.search(rf"^``{command}`` +(``.*(?:\n {{10,}}``.*)*)", text, re.MULTILINE)
    assert row, f"the README does not tell the fields of {command} --json"
    return set(re.findall(r"``(\w+)``", row[1]))


def names_in(found: Any) -> Set[str]:
    """The names of all fields, also of the innermost objects."""
    if isinstance(found, list):
        return {name for item in found for name in names_in(item)}
    return set(found) | names_in(list(found.values())) if isinstance(found, dict) else set()
