"""A package, described once for every package manager; repository and rpm_repository build files from it."""

from dataclasses import dataclass, field
from typing import Mapping, Tuple, Union

# With a fixed time the same package always becomes the same file, byte for byte.
BUILD_TIME = "1577836800"


@dataclass(frozen=True)
class Pkg:
    """A package of the native architecture and of release 1, as a .deb or an .rpm.

    Relations are spelled as in rpm ("libweb >= 1.0"). A package takes the place of those that it ``obsoletes``: on a
    Debian node it conflicts with them and replaces them. ``files`` maps absolute paths to their content, ``configs``
    lists the configuration files among them. ``fails`` is the message with which the postinst script fails.
    """

    name: str
    version: str
    epoch: str = ""
    requires: Tuple[str, ...] = ()
    provides: Tuple[str, ...] = ()
    breaks: Tuple[str, ...] = ()
    obsoletes: Tuple[str, ...] = ()
    files: Mapping[str, Union[str, bytes]] = field(default_factory=dict)
    configs: Tuple[str, ...] = ()
    fails: str = ""

    @property
    def evr(self) -> str:
        """[epoch:]version-release"""
        return f"{self.epoch}:{self.version}-1" if self.epoch else f"{self.version}-1"
