"""Reads what dpkg and apt keep beside the files: rows, marks, diversions, statoverrides and alternatives."""

import os
import subprocess
from pathlib import Path
from typing import Dict, FrozenSet, List, Mapping, NamedTuple, Tuple

from real.node import Node

FORMAT = "${Package}:${Architecture} ${Version} ${db:Status-Want} ${db:Status-Eflag} ${db:Status-Status}\\n"
PROGRAMS: Tuple[Tuple[str, ...], ...] = (
    ("e2fsck", "-V"),
    ("openssl", "version"),
    ("nginx", "-t"),
    ("php", "-v"),
    ("named", "-V"),
    ("named-checkconf",),
    ("mariadbd", "--version"),
    ("sshd", "-V"),
    ("python3", "-c", "import yaml, requests, ssl, readline; print(ssl.OPENSSL_VERSION)"),
    ("curl", "--version"),
    ("perl", "-v"),
    ("site-tool",),
)


# What one reading has found, as lines: rows, marks, diversions, statoverrides, alternatives.
Settings = Mapping[str, FrozenSet[str]]


class Program(NamedTuple):
    """How a program of the node ended, and what it printed."""

    status: int
    said: str


def read(root: Path) -> Settings:
    """Return the settings of a root."""
    admin = root / "var/lib/dpkg"
    rows = subprocess.run(
        ["dpkg-query", f"--admindir={admin}", "--show", "--showformat", FORMAT],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    marks = (root / "var/lib/apt/extended_states").read_text(encoding="utf-8")
    return {
        "rows": frozenset(rows.splitlines()),
        "marks": frozenset(auto(marks)),
        "diversions": frozenset(diversions((admin / "diversions").read_text(encoding="utf-8"))),
        "statoverrides": frozenset((admin / "statoverride").read_text(encoding="utf-8").splitlines()),
        "alternatives": frozenset(_alternatives(root)),
    }


def auto(text: str) -> List[str]:
    """Return name:architecture of each package that extended_states marks as installed automatically."""
    stanzas = [dict(line.split(": ", 1) for line in stanza.splitlines()) for stanza in text.strip().split("\n\n")]
    return [f"{one['Package']}:{one['Architecture']}" for one in stanzas if one.get("Auto-Installed") == "1"]


def diversions(text: str) -> List[str]:
    """Return one line for each diversion: dpkg's file has three."""
    lines = text.splitlines()
    return [f"{path} to {to} by {by}" for path, to, by in zip(lines[0::3], lines[1::3], lines[2::3])]


def _alternatives(root: Path) -> List[str]:
    """Return one line for each alternative: mode, choices, and where its link leads."""
    found = []
    for file in (root / "var/lib/dpkg/alternatives").iterdir():
        link = root / "etc/alternatives" / file.name
        to = os.readlink(link) if link.is_symlink() else "no link"
        found.append(f"{file.name} -> {to}: {' '.join(file.read_text(encoding='utf-8').split())}")
    return found


def programs(node: Node) -> Dict[str, Program]:
    """Run the programs of the node inside of its root."""
    found = {}
    for argv in PROGRAMS:
        done = node.chroot(*argv, ok=False)
        # MariaDB's warnings begin with the time.
        lines = [line for line in f"{done.stdout}{done.stderr}".splitlines() if "[Warning]" not in line]
        found[" ".join(argv[:2])] = Program(done.status, "\n".join(lines).strip())
    return found


def owners(root: Path) -> Mapping[str, str]:
    """Return the packages that list each path."""
    found: Dict[str, str] = {}
    for file in sorted((root / "var/lib/dpkg/info").glob("*.list")):
        for path in file.read_text(encoding="utf-8").splitlines():
            found[path] = f"{found[path]}, {file.stem}" if path in found else file.stem
    return found
