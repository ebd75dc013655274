"""A package, said once for every package manager; repository and rpm_repository make files of it."""

from dataclasses import dataclass, field
from typing import Mapping, Tuple, Union


@dataclass(frozen=True)
class Pkg:
    """A package that becomes a .deb or an .rpm of the native architecture, and of release 1.

    Relations are spelled as rpm does ("libweb >= 1.0"). What ``obsoletes`` another one takes its place: on a Debian
    node it conflicts with it and replaces it. ``files`` maps absolute paths to their content, ``configs`` lists those
    that are configuration. ``fails`` is what its script after the installation says before it fails.
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
