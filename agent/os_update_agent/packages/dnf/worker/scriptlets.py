"""Tells a failed scriptlet that runs because a package leaves from any other. Pure. Runs in the worker, Python 3.6.

rpm names the kind and the package that owns the scriptlet in its messages:

    warning: %postun(tool-2.0-1.x86_64) scriptlet failed, exit status 3
    error: lua script failed: [string "%triggerun(watcher-1.0-1.x86_64)"]:1: simulated failure
    error: lua script failed: [string "%triggerin(tool-1:2.0-1.x86_64)"]:1: simulated failure
"""

import re
from typing import Collection, Iterable, Iterator

from os_update_agent.packages.complaints import LEAVING
from os_update_agent.packages.dnf.protocol import Identity

_NAMED = re.compile(r"(?:warning|error): .*?%(?P<kind>[a-z]+)\((?P<owner>[^)]*)\)")
# preun, postun, triggerun, filetriggerpostun, transfiletriggerun, preuntrans, ...
_OF_LEAVING = re.compile(r"(?:pre|post|trigger(?:post)?|(?:trans)?filetrigger(?:post)?)un(?:trans)?")


def marked(complaint: str, kind: str, said: Iterable[str], goes: Collection[Identity]) -> str:
    """Return the complaint about a scriptlet, with the prefix if a package that leaves is to blame.

    That is a scriptlet that runs because a package leaves, or any scriptlet of a package that leaves. ``said`` is what
    rpm has printed since the last scriptlet; its last message counts. Without one the ``kind`` counts, in rpm's or
    dnf's spelling.
    """
    named = [match for match in map(_NAMED.match, said) if match]
    kind, owner = (named[-1]["kind"], named[-1]["owner"]) if named else (kind.lower().lstrip("%"), "")
    labels = (label for identity in goes for label in _labels(identity))
    return f"{LEAVING}{complaint}" if _OF_LEAVING.fullmatch(kind) or owner in labels else complaint


def _labels(identity: Identity) -> Iterator[str]:
    """Yield the names that rpm gives a package in its messages.

    rpm 4.18 and 6.1 include an epoch (measured). The name without the epoch is accepted as well.
    """
    name, arch, version = identity
    for each in (version, version.rpartition(":")[2]):
        yield f"{name}-{each}.{arch}"
