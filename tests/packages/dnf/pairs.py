"""A package that is installed in two architectures. Its files have no color, as in a package without programs."""

from typing import Collection, List

import pytest

from os_update_agent.testing.rpm_repository import Rpm, native_architecture

ARCHES = ("i686", "x86_64")
# Other machines have no pairs: a second architecture is a matter of x86_64 alone.
has_pairs = pytest.mark.skipif(
    native_architecture() != "x86_64", reason="the native architecture has no other one beside it"
)


def both(version: str, scripted: Collection[str], script: str, kind: str = "post") -> List[Rpm]:
    """Return the pair, which shares a file; ``scripted`` are the architectures that have the scriptlet."""
    return [
        Rpm(
            "both",
            version,
            arch=arch,
            files={f"/usr/lib/{arch}/both": f"{version}\n", "/usr/share/both": f"{version}\n"},
            scripts={kind: script} if arch in scripted else {},
        )
        for arch in ARCHES
    ]
