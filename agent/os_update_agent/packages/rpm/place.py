"""Where rpm's database is. A module of its own: starting dnf's worker needs no more of rpm."""

from pathlib import Path


def database_below(root: Path) -> Path:
    """Return the directory of rpm's database relative to a private root. On the node's own root rpm's macros name it,
    but a private root may belong to another system, whose rpm looks elsewhere.
    """
    new = Path("usr/lib/sysimage/rpm")
    return new if any((root / new).glob("rpmdb.*")) else Path("var/lib/rpm")
