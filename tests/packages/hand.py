"""The operator's own hand on a node: its package manager and its repository, without a line of the agent.

There is one for each package manager; a test that is written against this works on all of them.
"""

import subprocess
from pathlib import Path
from typing import Any, Dict, FrozenSet, List, Sequence, Tuple

from packages.scene import Pkg


class Hand:
    """On the root ``directory/root`` and the repository ``directory/repository``."""

    kind: str
    # What agent.conf calls the backend, how the files in the archive end, and why a held package is held back.
    backend: str
    suffix: str
    held = ""
    # What the repository asks for the index, for a server that is to fail.
    index: str
    # The Python that the hook runs under where the package manager is.
    python: str
    # The repository's own class, which knows its package manager's files.
    repository: Any

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / "root"

    @staticmethod
    def missing_tools() -> List[str]:
        """The programs that this hand needs and this machine does not have."""
        raise NotImplementedError

    @property
    def wrapper(self) -> Tuple[str, ...]:
        """The words before a command that has to run where the package manager is."""
        return ()

    # --- the repository

    def add(self, *pkgs: Any) -> None:
        """The repository's directory has these too; nothing shows before ``publish``."""
        raise NotImplementedError

    def add_files(self, directory: Path) -> None:
        """As ``add``, for package files that are made already."""
        raise NotImplementedError

    def build(self, pkgs: Sequence[Any], directory: Path) -> None:
        """Make the files of packages."""
        raise NotImplementedError

    def remove_from_repository(self, name: str, version: str) -> None:
        raise NotImplementedError

    def publish(self, security: Sequence[Pkg] = ()) -> None:
        """Write the index. ``security`` are a security update and what it needs besides."""
        raise NotImplementedError

    def use(self, url: str = "", **options: str) -> None:
        """The node's only source is this repository, on the disk or where a server serves it. ``options`` are a .repo
        file's.
        """
        raise NotImplementedError

    @staticmethod
    def kernel(version: str) -> Tuple[Pkg, ...]:
        """What a new kernel looks like here: a package that comes beside the old one."""
        raise NotImplementedError

    # --- the node

    def make(self, *names: str) -> None:
        """Make the root with these packages of the repository installed."""
        raise NotImplementedError

    def install(self, *names: str) -> None:
        raise NotImplementedError

    def start_installing(self, *names: str) -> "subprocess.Popen[bytes]":
        """As ``install``, without waiting for it."""
        raise NotImplementedError

    def remove(self, *names: str) -> None:
        raise NotImplementedError

    def mark(self, mark: str, *names: str) -> None:
        """``mark`` is "auto" or "manual"."""
        raise NotImplementedError

    def hold(self, *names: str) -> None:
        """Keep them where they are: apt's hold, dnf's versionlock."""
        raise NotImplementedError

    def unhold(self, *names: str) -> None:
        raise NotImplementedError

    def rows(self) -> List[Tuple[str, str]]:
        """(name, version) of each installed package, several for a kernel."""
        raise NotImplementedError

    def versions(self) -> Dict[str, str]:
        """The version of each installed package; of a kernel the last one."""
        return dict(sorted(self.rows()))

    def auto(self) -> FrozenSet[str]:
        """The packages that are there only because others need them."""
        raise NotImplementedError

    def state(self) -> Any:
        """All that has to come back in a restore."""
        return tuple(sorted(self.rows())), self.auto()

    def faults(self) -> str:
        """What is not sound: files on the disk that are not those of the database, two versions in one place; '' is
        well.
        """
        raise NotImplementedError

    def history(self) -> str:
        """What the package manager's own history says of the last transaction."""
        raise NotImplementedError

    def is_waiting(self) -> bool:
        """Has a script that waits begun?"""
        return (self.root / "run/waits").exists()

    def let_go(self) -> None:
        """Let the script that waits go on."""
        (self.root / "run/go").touch()
