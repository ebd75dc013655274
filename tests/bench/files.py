"""What it costs to look at files: at those of all installed packages after a way back, and at those below /etc before
and after each run.
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Callable, Dict, Iterator, Sequence

from bench.apart import apart
from bench.measuring import Figures, in_process
from bench.rows import Row
from os_update_agent.model.etc_files import PackagedText
from os_update_agent.node.etc_files import read_etc
from os_update_agent.node.kept_contents import Copies
from os_update_agent.packages.apt.backend import Apt
from os_update_agent.testing.repository import make_root, native_architecture

PATHS, ETC = (10_000, 100_000), (500, 5_000)
IN_PACKAGE = 100
# The goal of the file check: a second for each hundred thousand paths.
SECONDS_PER_PATH = 1 / 100_000
CONTENT = b"setting = value\n" * 64


def rows(base: Path, paths: Sequence[int] = PATHS, etc: Sequence[int] = ETC) -> Iterator[Row]:
    for count in paths:
        node = base / f"paths-{count}"
        _installed(node, count)
        figures = _apart(_checked, node)
        fits = figures.cpu <= SECONDS_PER_PATH * count + 0.1
        goals = (("at most 1 s for 100,000 paths, and 0.1 s", fits),)
        yield Row("file check after a way back, by paths", f"{count}", figures, goals=goals)
    for count in etc:
        root = base / f"etc-{count}"
        _configured(root, count)
        figures = _apart(_noted, root)
        yield Row("files below /etc noted with their contents, by files", f"{count}", figures, note="1 kB each")


def _apart(action: Callable[[Path], Figures], place: Path) -> Figures:
    figures, peak = apart(action, place)
    return replace(figures, peak=peak)


def _installed(base: Path, count: int) -> None:
    """A root with so many files, of packages that dpkg's database calls installed."""
    root = make_root(base / "root")
    info = root / "var/lib/dpkg/info"
    known = hashlib.md5(b"", usedforsecurity=False).hexdigest()
    stanzas = []
    for number in range(count // IN_PACKAGE):
        name = f"bench{number:05}"
        directory = root / "usr/share" / name
        directory.mkdir(parents=True)
        paths = [f"usr/share/{name}/{file:03}" for file in range(IN_PACKAGE - 1)]
        for path in paths:
            (root / path).touch()
        listed = ["/.", "/usr", "/usr/share", f"/usr/share/{name}", *(f"/{path}" for path in paths)]
        (info / f"{name}.list").write_text("".join(f"{path}\n" for path in listed), encoding="utf-8")
        (info / f"{name}.md5sums").write_text("".join(f"{known}  {path}\n" for path in paths), encoding="utf-8")
        stanzas.append(
            f"Package: {name}\nStatus: install ok installed\nArchitecture: {native_architecture()}\nVersion: 1.0\n"
            "Maintainer: Bench <bench@example.org>\nDescription: one of many\n\n"
        )
    (root / "var/lib/dpkg/status").write_text("".join(stanzas), encoding="utf-8")
    for name in ("work", "archive"):
        (base / name).mkdir()


def _checked(base: Path) -> Figures:
    """The check as a way back makes it: each path has to be there; half of the packages have changed."""
    apt = Apt(base / "root", base / "archive", base / "work")
    packages = apt.capture().packages
    changed = [package.identity for package in packages[::2]]
    assert apt.file_faults(changed) == ()
    return in_process(lambda: apt.file_faults(changed), 3)


def _configured(root: Path, count: int) -> None:
    (root / "etc").mkdir(parents=True)
    for number in range(count):
        (root / f"etc/{number:05}").write_bytes(CONTENT)


def _noted(root: Path) -> Figures:
    known = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    packaged: Dict[str, PackagedText] = {f"/etc/{number:05}": PackagedText("md5", known) for number in range(0, 500, 5)}

    def note() -> None:
        with Copies(root / "copies.tar") as copies:
            listing = read_etc(root, packaged, copies.add)
        assert len(listing) >= 100 and not any(file.is_edited for file in listing.values())

    return in_process(note, 3)
