"""A private root with packages of ordinary size, their repository, and the agent's directories; what is there can be
kept and put back.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from bench.measuring import Figures, measured, median
from bench.rows import Row
from os_update_agent.testing.repository import Deb, Repository, make_root
from packages.aptroot import AptRoot

TESTS = Path(__file__).resolve().parents[1]
AGENT = TESTS.parent / "agent"
HOOK = TESTS.parent / "hooks" / "package-update"
FIRST, OLD, NEW = "0.1", "1.0", "2.0"
MANY = 100
FIRST_UPDATE = "the first update, which fetches what is installed, too"
Turn = Tuple[str, Callable[[], Figures]]


class Goals(NamedTuple):
    """How many times the processor time of the bare commands an update, a first one and a restore may take; None: there
    is no goal.
    """

    update: Optional[float] = None
    first: Optional[float] = None
    restore: Optional[float] = None


@dataclass(frozen=True)
class Size:
    """How many packages stay; how many files each one that changes has, and how many bytes each of them."""

    staying: int
    files: int
    bytes: int

    def __str__(self) -> str:
        size = self.files * self.bytes
        return f"{size // 1_000_000} MB" if size >= 1_000_000 else f"{size // 1000} kB"


class World:
    """``changing`` packages have a newer version after add(NEW); others stay.

    ``wrapper`` stands before a command that has to run where the package manager is, and ``python`` is the one that the
    hook runs under there.
    """

    wrapper: Sequence[str] = ()
    python = sys.executable

    def __init__(self, base: Path, backend: str, changing: int, size: Size) -> None:
        self.base = base
        self.size = size
        self.names = [f"changing{number:03}" for number in range(changing)]
        self.staying = [f"staying{number:03}" for number in range(size.staying)]
        self.node = base / "node"
        self.root = self.node / "root"
        for name in ("state", "log", "run", "steps"):
            (self.node / name).mkdir(mode=0o700, parents=True)
        self.settings = base / "agent.conf"
        paths = "".join(f"{name} = {self.node / name}\n" for name in ("state", "log", "run", "steps"))
        self.settings.write_text(f"[node]\nroot = {self.root}\nbackend = {backend}\n[paths]\n{paths}", encoding="utf-8")
        self.count = 0
        self.agent = base / "agent"
        self.environment = {**os.environ, "PYTHONPATH": str(self.agent), "OS_UPDATE_AGENT_CONFIG": str(self.settings)}

    def install(self) -> None:
        """Put the agent there with its bytecode, as an installed one has it."""
        shutil.copytree(AGENT, self.agent, ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run([*self.wrapper, self.python, "-m", "compileall", "-q", str(self.agent)], check=True)

    def add(self, version: str) -> None:
        """The repository has the packages that change in this version, too."""
        raise NotImplementedError

    def has(self, version: str) -> bool:
        """Are the packages that change installed in this version?"""
        raise NotImplementedError

    def keep(self, name: str) -> None:
        shutil.copytree(self.node, self.base / name, symlinks=True)

    def put_back(self, name: str) -> None:
        # Put aside and emptied, never deleted: for minutes ext4 (ialloc.c, recently_deleted) looks at each inode that
        # has just become free before it takes one, which makes whoever is measured next pay up to three times as much
        # for each new file.
        aside = self.base / f"aside-{len(list(self.base.glob('aside-*')))}"
        self.node.rename(aside)
        for path in aside.rglob("*"):
            if path.is_file() and not path.is_symlink():
                os.truncate(path, 0)
        subprocess.run(["cp", "-a", str(self.base / name), str(self.node)], check=True)
        # Else whoever is measured first waits for what the copy has left to be written. By others, elsewhere, does not
        # matter.
        subprocess.run(["sync", "--file-system", str(self.node)], check=True)

    def deliver(
        self, action: str, value: str, *, config_id: str = "", signal: Optional[Mapping[str, str]] = None
    ) -> Figures:
        """One delivery through the hook's process, which has to succeed."""
        text = json.dumps(self.deployment(action, value, config_id, signal))
        figures, said = measured([*self.wrapper, self.python, str(HOOK)], self.base, env=self.environment, text=text)
        answer = json.loads(said)
        assert answer["deploy_status_code"] == 0, answer
        return figures

    def deployment(
        self, action: str, value: str, config_id: str, signal: Optional[Mapping[str, str]]
    ) -> Dict[str, Any]:
        self.count += 1
        told = {
            **{"update_after_time": value, "deploy_action": action, "deploy_stack_id": "bench/1"},
            **{"deploy_resource_name": "bench", "deploy_server_id": "server", "deploy_signal_transport": "NO_SIGNAL"},
            **(signal or {}),
        }
        return {
            "id": config_id or f"config-{self.count}", "name": "bench", "group": "package-update", "config": "",
            "options": {},
            "inputs": [{"name": name, "type": "String", "value": given} for name, given in told.items()],
            "outputs": [{"name": name} for name in ("changes", "held_back", "state_digest", "restored_from")],
        }  # fmt: skip

    def changes(self, manager: str, update: Turn, restore: Sequence[Turn], repeats: int, goals: Goals) -> Iterator[Row]:
        """An update and a restore by the agent, each beside the bare commands; the first of these says what the goal
        is.
        """
        # A node that the agent has updated before: it has the files of what is installed.
        self.deliver("CREATE", "v0")
        self.add(OLD)
        self.deliver("UPDATE", "v1")
        assert self.has(OLD)
        self.add(NEW)
        self.keep("old")
        # And one that it has only seen: an update fetches those, too.
        (self.node / "state").rename(self.base / "aside-state")
        (self.node / "state").mkdir(mode=0o700)
        self.deliver("CREATE", "v1")
        self.keep("seen")
        self.put_back("old")
        self.deliver("UPDATE", "v2")
        assert self.has(NEW)
        self.keep("new")

        def taken(start: str, reached: str, action: Callable[[], Figures]) -> Callable[[], Figures]:
            def turn() -> Figures:
                self.put_back(start)
                figures = action()
                assert self.has(reached)
                return figures

            return turn

        def forward() -> Figures:
            return self.deliver("UPDATE", "v2")

        peers = [(what, taken("old", NEW, action)) for what, action in [update]]
        peers_back = [(what, taken("new", OLD, action)) for what, action in restore]
        ours = [("update", taken("old", NEW, forward)), (FIRST_UPDATE, taken("seen", NEW, forward))]
        ours_back = [("restore", taken("new", OLD, lambda: self.deliver("UPDATE", "v1")))]
        allowed = {"update": goals.update, FIRST_UPDATE: goals.first, "restore": goals.restore}
        found = in_turns([*peers, *ours, *peers_back, *ours_back], repeats)
        section = f"{manager}{len(self.names)} package{'s' if len(self.names) > 1 else ''} of {self.size}"
        for theirs, own in ((peers, ours), (peers_back, ours_back)):
            for what, _ in theirs:
                yield Row(section, what, found[what])
            peer = theirs[0][0]
            for what, _ in own:
                goal = allowed[what]
                yield Row(section, what, found[what]).against(found[peer], peer, *([goal] if goal else []))


class AptWorld(World):
    """For apt: 40 files and 1 MB for each package; many packages are smaller, 200 kB."""

    def __init__(self, base: Path, changing: int) -> None:
        super().__init__(base, "apt", changing, Size(60, 40, 25_000 if changing < MANY else 5_000))
        self.names = self.chosen() or self.names
        self.repository = Repository(base / "repository")
        self.repository.add(*(Deb(name, OLD, files={f"usr/share/{name}": name}) for name in self.staying))
        self.add(FIRST)
        # "copy:" makes apt fetch index and packages, as from a mirror.
        make_root(self.root, sources=self.sources())
        self.prepare()
        for name in ("var/run", "var/log/unattended-upgrades", "var/lib/apt/periodic", "var/lib/unattended-upgrades"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        self.apt = AptRoot(self.root)
        # Beside the node, which comes and goes.
        self.apt.configuration = self.apt.configuration.replace(base / "apt.conf")
        self.apt.apt("update")
        self.apt.apt("install", *self.names, *self.staying)
        self.install()

    def sources(self) -> List[str]:
        """Return the lines of sources.list."""
        return [self.repository.source_line(f"copy:{self.repository.directory}")]

    def chosen(self) -> List[str]:
        """Return the names of the packages that change; none: they get names of their own."""
        return []

    def prepare(self) -> None:
        """Fill the new root before its packages are installed. Nothing by default."""

    def bare(self) -> Tuple[Turn, Turn]:
        """Return what an operator would type for an update and for a restore."""
        update = "apt-get -q -y -o APT::Update::Error-Mode=any update && "
        update += "exec apt-get -q -y --no-install-recommends dist-upgrade"
        wanted = " ".join(f"{name}={self.version(name, OLD)}" for name in self.names)
        restore = f"exec apt-get -q -y --allow-downgrades --no-install-recommends install {wanted}"
        return (
            ("bare apt-get update, dist-upgrade", lambda: self.run("sh", "-c", update)),
            ("bare apt-get install NAME=VERSION...", lambda: self.run("sh", "-c", restore)),
        )

    def add(self, version: str) -> None:
        chance = random.Random(version)
        for name in self.names:
            files = {
                f"usr/share/{name}/{number}": chance.randbytes(self.size.bytes) for number in range(self.size.files)
            }
            self.repository.add(
                Deb(
                    name,
                    self.version(name, version),
                    files=files,
                    scripts={"postinst": "exit 0"},
                    installed_size=self.size.files * self.size.bytes // 1024,
                    has_sums=True,
                    fields=self.fields(name, version),
                )
            )
        self.repository.publish()

    def version(self, name: str, version: str) -> str:
        """Return the version of a package that changes."""
        return f"{version}-1"

    def fields(self, name: str, version: str) -> Dict[str, str]:
        """Return further control fields of a package that changes."""
        return {}

    def run(self, *argv: str, text: str = "", **environment: str) -> Figures:
        """Anybody else's command with apt on the same root."""
        own = {
            "APT_CONFIG": str(self.apt.configuration),
            "DEBIAN_FRONTEND": "noninteractive",
            "LC_ALL": "C.UTF-8",
            **environment,
        }
        return measured(argv, self.base, env={**os.environ, **own}, text=text)[0]

    def has(self, version: str) -> bool:
        versions = self.apt.versions()
        return all(versions[name] == self.version(name, version) for name in self.names)


def in_turns(turns: Sequence[Turn], repeats: int) -> Dict[str, Figures]:
    """Medians; each is done once before the next round begins, so that the machine's moods meet all, and in another
    order in each, for what one leaves behind is met by the next.
    """
    taken: Dict[str, List[Figures]] = {what: [] for what, _ in turns}
    for number in range(repeats):
        for what, action in random.Random(number).sample(list(turns), len(turns)):
            taken[what].append(action())
    return {what: median(figures) for what, figures in taken.items()}
