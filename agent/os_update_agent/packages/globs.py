"""Which packages a glob means. Pure, and Python 3.6: dnf's worker uses it as well."""

from fnmatch import fnmatchcase
from typing import Optional, Sequence


def first_match(name: str, arch: str, globs: Sequence[str]) -> Optional[str]:
    """Return the first of the globs that matches the package: by its name, or by name:architecture if the glob has a
    colon.
    """
    return next((glob for glob in globs if fnmatchcase(f"{name}:{arch}" if ":" in glob else name, glob)), None)
