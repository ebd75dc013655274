"""Packages of a made-up release, said once for every package manager: what a scene is played with."""

from dataclasses import dataclass
from typing import Dict, Union

from os_update_agent.testing import pkg


@dataclass(frozen=True)
class Pkg(pkg.Pkg):
    """``waits``: the script after the installation waits until somebody lets it go, before it fails, if it does."""

    waits: bool = False


def version_file(name: str, text: str) -> Dict[str, Union[str, bytes]]:
    """A file that tells which version of the package lies on the disk."""
    return {f"/usr/share/{name}": f"{text}\n"}


_CONF = "/etc/app.conf"
ONE = (
    Pkg("app", "1.0", requires=("libapp1 >= 1.0",), files={_CONF: "a=1\n"}, configs=(_CONF,)),
    Pkg("libapp1", "1.0", files=version_file("libapp1", "1")),
    Pkg("oldname", "1.0"),
    Pkg("useold", "1.0", requires=("oldname",)),
    Pkg("epochy", "9.0"),
    Pkg("heldpkg", "1.0"),
    Pkg("tool", "1.0", files=version_file("tool", "1")),
)
TWO = (
    Pkg("app", "2.0", requires=("libapp1 >= 2.0", "extra"), files={_CONF: "a=2\n"}, configs=(_CONF,)),
    Pkg("libapp1", "2.0", breaks=("app < 2.0",), files=version_file("libapp1", "2")),
    Pkg("extra", "2.0"),
    Pkg("newname", "2.0", obsoletes=("oldname",)),
    Pkg("useold", "2.0", requires=("newname",)),
    Pkg("epochy", "1.0", epoch="1"),
    Pkg("heldpkg", "2.0"),
)
# What the operator has asked for by name; the others came with it.
INSTALLED = ("app", "useold", "epochy", "heldpkg", "tool")
VERSIONS_ONE = {
    **dict.fromkeys(("app", "libapp1", "oldname", "useold", "heldpkg", "tool"), "1.0-1"),
    "epochy": "9.0-1",
}
VERSIONS_TWO = {
    **dict.fromkeys(("app", "libapp1", "extra", "newname", "useold"), "2.0-1"),
    **{"epochy": "1:1.0-1", "heldpkg": "1.0-1", "tool": "1.0-1"},
}
