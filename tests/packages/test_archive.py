"""The archive and the disk: what the ledger has is there after a power cut; what cannot be written, or was never
finished, is not kept.
"""

import errno
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any, Callable, List, Mapping, Sequence, Tuple

import pytest

from os_update_agent.ledger import Ledger
from os_update_agent.model.errors import PackageError
from os_update_agent.model.package_files import Offer
from os_update_agent.model.packages import Package
from os_update_agent.packages.archive import Archive
from packages.node import Node
from packages.scene import Pkg

APP, LIB = Package("app", "amd64", "1.0"), Package("lib", "amd64", "1.0")
CONTENT = b"hello"


class Repository:
    """Gives files of one content, as the part of a backend that an archive asks."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.content = CONTENT
        self.fetched: List[str] = []

    def available(self, packages: Sequence[Package]) -> Tuple[Mapping[Package, Offer], Tuple[Package, ...]]:
        return dict.fromkeys(packages, Offer(len(CONTENT), 1, hashlib.sha256(CONTENT).hexdigest())), ()

    def fetch(self, packages: Sequence[Package]) -> None:
        for package in packages:
            self.fetched.append(package.name)
            (self.directory / self.file_name(package)).write_bytes(self.content)

    def file_name(self, package: Package) -> str:
        return f"{package.name}.deb"

    def installed_sizes(self, files: Sequence[Path]) -> Mapping[Any, int]:
        return {}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "archive")


@pytest.fixture
def opened(tmp_path: Path, repository: Repository) -> Callable[[], Archive]:
    """One after the other, as each run has its own."""

    def another() -> Archive:
        archive: Any = Archive(repository.directory, Ledger(tmp_path / "ledger.sqlite"), repository)  # type: ignore[arg-type]
        archive.prepare()
        return archive  # type: ignore[no-any-return]

    return another


def test_the_ledger_has_a_file_when_the_disk_has_it(
    opened: Callable[[], Archive], repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: List[str] = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    archive = opened()
    archive.obtain([APP, LIB])
    # For the run itself it is there at once, for everybody else not yet.
    assert archive.missing([APP, LIB]) == () and len(archive.files([APP, LIB])) == 2
    assert opened().missing([APP, LIB]) == (APP, LIB)
    archive.flush()
    assert {
        str(repository.directory / "app.deb"),
        str(repository.directory / "lib.deb"),
        str(repository.directory),
    } <= set(synced)
    assert opened().missing([APP, LIB]) == () and opened().files([APP]) == (repository.directory / "app.deb",)


@pytest.mark.parametrize("is_read_only", [False, True])
def test_what_cannot_be_written_is_told_and_not_kept(
    opened: Callable[[], Archive], repository: Repository, monkeypatch: pytest.MonkeyPatch, is_read_only: bool
) -> None:
    sync = os.fsync

    def refusing(path: Path, **_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    def failing(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/app.deb"):
            raise OSError(errno.EIO, "Input/output error")
        sync(descriptor)

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", failing)
        archive = opened()
        archive.obtain([APP, LIB])
        if is_read_only:
            broken.setattr(Path, "unlink", refusing)
        with pytest.raises(PackageError, match=r"app\.deb cannot be written: Input/output error"):
            archive.flush()
    assert (repository.directory / "app.deb").exists() == is_read_only
    again = opened()
    assert again.missing([APP, LIB]) == (APP,)
    again.obtain([APP, LIB])
    again.flush()
    assert repository.fetched == ["app", "lib", "app"] and opened().missing([APP, LIB]) == ()


def test_a_file_of_another_size_than_the_repository_says_is_not_kept(
    opened: Callable[[], Archive], repository: Repository
) -> None:
    repository.content = CONTENT[:3]
    archive = opened()
    with pytest.raises(PackageError, match=r"app\.deb has 3 bytes, and should have 5 by what its repository says"):
        archive.obtain([APP])
    assert archive.missing([APP]) == (APP,) and not (repository.directory / "app.deb").exists()


def test_what_a_power_cut_has_left_of_a_download_is_not_taken_for_the_package(based: Node) -> None:
    """apt takes a file that lies there for whole where its size is right."""
    based.offer(Pkg("tool", "2.0"))
    based.succeed("UPDATE", "v2", operation="download")
    entry = based.kept()["tool 2.0-1"]
    file = based.archive / entry.file
    whole = file.read_bytes()
    # As before the download, but for the file.
    shutil.rmtree(based.archive)
    based.archive.mkdir(mode=0o700)
    with based.ledger() as ledger:
        ledger.drop_archive_entries(list(based.kept().values()))
    file.write_bytes(bytes(len(whole)))
    done = based.succeed("UPDATE", "v3")
    assert done.changes == {"tool": ("1.0-1", "2.0-1")} and file.read_bytes() == whole
