"""A root whose packages stand in dpkg's status file and in an index alone: there are no package files. Enough for
planning, and cheap.
"""

import os
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Tuple

from os_update_agent.model.packages import Change, HeldBack, Selection
from os_update_agent.node.process import run
from os_update_agent.packages.apt.backend import Apt
from os_update_agent.testing.repository import make_root, native_architecture

Fields = Mapping[str, str]
EVERYTHING = Selection()


class Index:
    """``apt`` is the agent's backend on the root. The first plan publishes what is installed and offered until then."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = make_root(directory / "root")
        self._is_published = False
        self._installed: List[str] = []
        self._offered: Dict[str, List[str]] = {"demo": [], "demo-security": [], "demo-backports": []}
        self.work = directory / "work"
        self.work.mkdir()
        self.apt = Apt(self.root, self.work, self.work)

    def install(self, name: str, version: str = "1", *, held: bool = False, auto: bool = False, **fields: str) -> None:
        """A package is installed. ``fields`` are control fields with "_" for "-"."""
        status = f"Status: {'hold' if held else 'install'} ok installed\n"
        self._installed.append(_stanza(name, version, fields) + status)
        if auto:
            with open(self.root / "var/lib/apt/extended_states", "a", encoding="utf-8") as file:
                file.write(f"Package: {name}\nArchitecture: {native_architecture()}\nAuto-Installed: 1\n\n")

    def offer(self, name: str, version: str = "2", *, suite: str = "demo", **fields: str) -> None:
        """A repository has this version of a package."""
        file = f"Filename: ./{name}_{version}.deb\nSize: 1000\nSHA256: {'0' * 64}\n"
        self._offered[suite].append(_stanza(name, version, fields) + file)

    def settings(self, text: str) -> None:
        """Write apt.conf. A backend reads some of it once."""
        (self.root / "etc/apt/apt.conf.d/own").write_text(text, encoding="utf-8")
        self.apt = Apt(self.root, self.work, self.work)

    def prefer(self, text: str, name: str = "preferences.d/own") -> Path:
        path = self.root / "etc/apt" / name
        path.write_text(text, encoding="utf-8")
        return path

    def _publish(self) -> None:
        (self.root / "var/lib/dpkg/status").write_text("\n".join(self._installed), encoding="utf-8")
        lines = []
        for suite, stanzas in self._offered.items():
            place = self.directory / suite
            place.mkdir(exist_ok=True)
            (place / "Packages").write_text("\n".join(stanzas), encoding="utf-8")
            only = "NotAutomatic: yes\nButAutomaticUpgrades: yes\n" if suite.endswith("backports") else ""
            release = f"Label: Demo\nSuite: {suite}\nCodename: {suite}\n{only}"
            (place / "Release").write_text(release, encoding="utf-8")
            lines.append(f"deb [trusted=yes allow-insecure=yes] file:{place} ./\n")
        (self.root / "etc/apt/sources.list").write_text("".join(lines), encoding="utf-8")
        run(["apt-get", "-q", "update"], env={**os.environ, **self.apt._environment()})

    def plan(
        self,
        packages: Sequence[str] = (),
        exclude: Sequence[str] = (),
        *,
        security: bool = False,
        removals: bool = True,
    ) -> Tuple[Dict[str, str], Dict[str, str]]:
        """Return the new version of each package that a plan changes ("" if it is removed), and what is held back."""
        changes, held = self.planned(Selection(tuple(packages), tuple(exclude), security, removals))
        found = {change.name: change.after.version if change.after else "" for change in changes}
        return found, {item.name: item.reason for item in held}

    def planned(self, selection: Selection = EVERYTHING) -> Tuple[Tuple[Change, ...], Tuple[HeldBack, ...]]:
        """Return what the backend plans for a selection, and what it holds back."""
        if not self._is_published:
            self._is_published = True
            self._publish()
        with self.apt.session():
            return self.apt.candidates(self.apt.capture(), selection)


def _stanza(name: str, version: str, fields: Fields) -> str:
    rest = "".join(f"{field.replace('_', '-')}: {value}\n" for field, value in fields.items())
    arch = "" if "Architecture" in fields else f"Architecture: {native_architecture()}\n"
    return f"Package: {name}\nVersion: {version}\n{arch}Maintainer: nobody\nDescription: nothing\n{rest}"
