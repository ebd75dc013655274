"""The recognition of security archives by their names. Pure; both sides of apt's worker use it."""

import re
from typing import Iterable

# "Debian-Security:12/oldstable-security", "Ubuntu:22.04/jammy-security", "Lab:lab-security"
_SECURITY = re.compile(r"^Debian-Security:|-security$")


def is_security(origins: Iterable[str]) -> bool:
    """Does one of a version's origins call itself a security archive?"""
    return any(_SECURITY.search(origin) for origin in origins)
