"""What an update and a restore of 30 packages take with dnf 4 or dnf 5, through the hook's process and with the bare dnf commands.

python tests/bench/bench_dnf.py [RESULT.json] [--repeats N] [--backend dnf5]

Four things are done in turns on copies of one and the same private root, each from the same state, so that the machine's moods meet all:
  update   the hook is delivered a new value
           bare: dnf -y --setopt=*.skip_if_unavailable=0 --setopt=installonly_limit=0 --refresh upgrade
  restore  the hook is delivered the first value again, whose packages no repository needs to have
           bare: dnf -y history undo last, from a repository that still has everything; and
           bare: dnf -y --disablerepo=* downgrade FILE..., with the files at hand
The packages are of ordinary size: 40 files, 1 MB, a scriptlet; 100 others stay, and a second repository, all of it newer than what the
node has seen, lists 4000 that are not installed. With --small they are as good as empty and 30 others
stay, which leaves little but what the agent costs by itself. Processor time is that of all processes: on a busy machine it tells more
than the clock. dnf 5 and what speaks to it, bare or not, run in a root of Debian sid, which is entered anew for each command.
"""

import argparse
import contextlib
import ctypes
import gzip
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

TESTS = Path(__file__).resolve().parents[1]
AGENT = TESTS.parent / "agent"
HOOK = TESTS.parent / "hooks" / "package-update"
sys.path[:0] = [str(AGENT), str(TESTS)]

from os_update_agent.demo.rpm_repository import Repository, Rpm  # noqa: E402
from packages.hand_rpm import Dnf5Hand, DnfHand  # noqa: E402

CHANGING, REPEATS = 30, 7
NAMES = [f"changing{number:02}" for number in range(CHANGING)]
STRICT = ("--setopt=*.skip_if_unavailable=0", "--setopt=installonly_limit=0")
UPDATE, RESTORE = "update", "restore"
HOOKS = {UPDATE: "the hook, a new value", RESTORE: "the hook, back to the first value"}
BARE = {
    UPDATE: {"bare: dnf --refresh upgrade": [*STRICT, "--refresh", "upgrade"]},
    RESTORE: {
        "bare: dnf history undo last": [*STRICT, "history", "undo", "last"],
        "bare: dnf downgrade FILE...": ["--disablerepo=*", *STRICT, "downgrade"],
    },
}
HANDS = {"dnf": DnfHand, "dnf5": Dnf5Hand}


@dataclass(frozen=True)
class Size:
    """How many packages stay; how many files one that changes has, how many bytes each; the size of the other repository."""

    staying: int
    files: int
    bytes: int
    others: int

    def rpm(self, name: str, version: str, *, is_large: bool) -> Rpm:
        content = (lambda: os.urandom(self.bytes)) if is_large else (lambda: name.encode())
        files = {f"/usr/share/{name}/{number}": content() for number in range(self.files if is_large else 1)}
        return Rpm(name, version, files=files, scripts={"post": "return 0"})


ORDINARY, SMALL = Size(100, 40, 25_000, 4000), Size(30, 1, 100, 0)


def write_catalogue(directory: Path, count: int, version: str) -> str:
    """A repository with the metadata of ``count`` packages that nobody installs, as a distribution has them. Returns its .repo section."""
    names = [f"other{number:05}" for number in range(count)]
    made = {"primary": "http://linux.duke.edu/metadata/common", "filelists": "http://linux.duke.edu/metadata/filelists"}
    entries = []
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "repodata").mkdir(parents=True)
    for kind, namespace in made.items():
        packages = "".join((_primary if kind == "primary" else _filelists)(name, version) for name in names)
        root = "metadata" if kind == "primary" else kind
        rpm_namespace = ' xmlns:rpm="http://linux.duke.edu/metadata/rpm"' if kind == "primary" else ""
        text = f'<?xml version="1.0"?>\n<{root} xmlns="{namespace}"{rpm_namespace} packages="{count}">\n{packages}</{root}>\n'
        content = gzip.compress(text.encode(), mtime=0)
        (directory / f"repodata/{kind}.xml.gz").write_bytes(content)
        entries.append(
            f'<data type="{kind}"><checksum type="sha256">{hashlib.sha256(content).hexdigest()}</checksum>'
            f'<location href="repodata/{kind}.xml.gz"/><timestamp>1</timestamp><size>{len(content)}</size></data>'
        )
    repomd = f'<?xml version="1.0"?>\n<repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>{version}</revision>{"".join(entries)}</repomd>'
    (directory / "repodata/repomd.xml").write_text(repomd, encoding="utf-8")
    return f"[others]\nname=others\nbaseurl={directory.as_uri()}\nenabled=1\ngpgcheck=0\n"


def _primary(name: str, version: str) -> str:
    entries = "".join(f'<rpm:entry name="{name}({number})" flags="EQ" epoch="0" ver="{version}"/>' for number in range(8))
    needs = "".join(f'<rpm:entry name="other{number:05}"/>' for number in range(8))
    return (
        f'<package type="rpm"><name>{name}</name><arch>noarch</arch><version epoch="0" ver="{version}" rel="1"/>'
        f'<checksum type="sha256" pkgid="YES">{_id(name, version)}</checksum><summary>one of many</summary>'
        f"<description>One of the many packages that a distribution has and that are not installed on this node.</description>"
        f'<packager/><url>https://example.org/{name}</url><time file="1" build="1"/><size package="1" installed="1" archive="1"/>'
        f'<location href="{name}.rpm"/><format><rpm:license>MIT</rpm:license><rpm:vendor/><rpm:group/><rpm:buildhost/>'
        f'<rpm:sourcerpm>{name}.src.rpm</rpm:sourcerpm><rpm:header-range start="1" end="2"/>'
        f"<rpm:provides>{entries}</rpm:provides><rpm:requires>{needs}</rpm:requires><file>/usr/bin/{name}</file></format></package>\n"
    )


def _filelists(name: str, version: str) -> str:
    files = "".join(f"<file>/usr/share/{name}/{number}</file>" for number in range(30))
    return (
        f'<package pkgid="{_id(name, version)}" name="{name}" arch="noarch"><version epoch="0" ver="{version}" rel="1"/>{files}</package>\n'
    )


def _id(name: str, version: str) -> str:
    return hashlib.sha256(f"{name} {version}".encode()).hexdigest()


class World:
    """A repository, a private root and the agent's directories below ``base``; what is below "node" can be kept and put back."""

    def __init__(self, base: Path, size: Size, backend: str) -> None:
        self.base = base
        self.size = size
        fixed = [f"staying{number:03}" for number in range(size.staying)]
        self.node = base / "node"
        self.hand = HANDS[backend](base)
        self.hand.root = self.root = self.node / "root"
        self.repository: Repository = self.hand.repository
        self.repository.add(*(size.rpm(name, "1.0", is_large=False) for name in fixed))
        self.offer("1.0")
        self.hand.make(*NAMES, *fixed)
        if size.others:
            self.hand.use_sections(self.repository.section(), write_catalogue(base / "others", size.others, "1.0"))
        for name in ("state", "log", "run", "steps"):
            (self.node / name).mkdir(mode=0o700)
        self.settings = base / "agent.conf"
        paths = "".join(f"{name} = {self.node / name}\n" for name in ("state", "log", "run", "steps"))
        self.settings.write_text(f"[node]\nroot = {self.root}\nbackend = {backend}\n[paths]\n{paths}", encoding="utf-8")
        self.count = 0
        # An installed agent has its bytecode; this makes it once, away from the source.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        own = {"PYTHONPATH": str(AGENT), "PYTHONPYCACHEPREFIX": str(base / "bytecode"), "OS_UPDATE_AGENT_CONFIG": str(self.settings)}
        self.environment = {**inherited, **own}

    def offer(self, version: str) -> None:
        self.repository.add(*(self.size.rpm(name, version, is_large=True) for name in NAMES))
        self.repository.publish()
        if self.size.others:
            write_catalogue(self.base / "others", self.size.others, version)

    def keep(self, name: str) -> None:
        shutil.copytree(self.node, self.base / name, symlinks=True)

    def put_back(self, name: str) -> None:
        shutil.rmtree(self.node)
        subprocess.run(["cp", "-a", str(self.base / name), str(self.node)], check=True)

    def bare(self, arguments: Sequence[str]) -> None:
        files = [str(self.repository.directory / Rpm(name, "1.0").file) for name in NAMES] if arguments[-1] == "downgrade" else []
        words = [word for argument in arguments for word in (self.hand.REFRESHED if argument == "--refresh" else [argument])]
        self.hand.dnf(*words, *files)

    def deliver(self, action: str, value: str) -> None:
        """One delivery through the hook's process, which has to succeed."""
        self.count += 1
        told = {
            **{"update_after_time": value, "deploy_action": action, "deploy_stack_id": "bench/1"},
            **{"deploy_resource_name": "bench", "deploy_server_id": "server", "deploy_signal_transport": "NO_SIGNAL"},
        }
        deployment = {
            "id": f"config-{self.count}", "name": "bench", "group": "package-update", "config": "", "options": {},
            "inputs": [{"name": name, "type": "String", "value": value} for name, value in told.items()],
            "outputs": [{"name": name} for name in ("changes", "held_back", "state_digest", "restored_from")],
        }  # fmt: skip
        argv = [*self.hand.wrapper, self.hand.python, str(HOOK)]
        done = subprocess.run(argv, input=json.dumps(deployment), env=self.environment, capture_output=True, text=True, check=True)
        answer = json.loads(done.stdout)
        assert answer["deploy_status_code"] == 0, answer

    def has(self, version: str) -> bool:
        versions = self.hand.versions()
        return {versions[name] for name in NAMES} == {f"{version}-1"}


def adopt_orphans() -> None:
    """Become the parent of the worker, which leaves its own: only so its processor time can be told (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    assert ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0) == 0


def timed(action: Callable[[], object]) -> Tuple[float, float]:
    """Seconds on the clock until the action returns, and seconds of processor time until the last of its processes has ended."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    action()
    taken = time.perf_counter() - begun
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return taken, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measure(base: Path, size: Size, repeats: int, backend: str = "dnf") -> Dict[str, List[Tuple[float, float]]]:
    """What each repeat has taken, as ``timed`` tells it, by what was done."""
    world = World(base, size, backend)
    world.deliver("CREATE", "v1")
    world.offer("2.0")
    world.keep("old")
    world.deliver("UPDATE", "v2")
    assert world.has("2.0")
    world.keep("new")
    figures: Dict[str, List[Tuple[float, float]]] = {}

    def take(what: str, start: str, reached: str, action: Callable[[], object]) -> None:
        world.put_back(start)
        figures.setdefault(what, []).append(timed(action))
        assert world.has(reached), what

    for _ in range(repeats):
        take(HOOKS[UPDATE], "old", "2.0", lambda: world.deliver("UPDATE", "v2"))
        for what, arguments in BARE[UPDATE].items():
            take(what, "old", "2.0", lambda arguments=arguments: world.bare(arguments))
        take(HOOKS[RESTORE], "new", "1.0", lambda: world.deliver("UPDATE", "v1"))
        for what, arguments in BARE[RESTORE].items():
            take(what, "new", "1.0", lambda arguments=arguments: world.bare(arguments))
    return figures


def main(arguments: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", nargs="?", type=Path, help="also write the figures as JSON into this file")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--backend", choices=sorted(HANDS), default="dnf", help="dnf is dnf 4; dnf5 needs a root of Debian sid")
    parser.add_argument("--small", action="store_true", help="packages that are as good as empty")
    options = parser.parse_args(arguments)
    size = SMALL if options.small else ORDINARY
    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="bench-dnf-") as directory:
        figures = measure(Path(directory), size, options.repeats, options.backend)
    # (seconds on the clock, seconds of processor time), medians; ratios are those of each repeat.
    medians = {what: [statistics.median(column) for column in zip(*taken)] for what, taken in figures.items()}
    ratios: Dict[str, List[float]] = {}
    for kind, peers in BARE.items():
        for what in peers:
            pairs = zip(zip(*figures[HOOKS[kind]]), zip(*figures[what]))
            ratios[f"{HOOKS[kind]} / {what}"] = [statistics.median(our / their for our, their in zip(*pair)) for pair in pairs]
    print(f"medians of {options.repeats}, {options.backend}, {CHANGING} of {CHANGING + size.staying} packages change")
    print(f"  {'':70}{'clock':>12}{'processor':>12}")
    for what, columns in medians.items():
        print(f"  {what:70}" + "".join(f"{seconds * 1000:9.0f} ms" for seconds in columns))
    for what, columns in ratios.items():
        print(f"  {what:70}" + "".join(f"{ratio:10.2f} x" for ratio in columns))
    if options.result:
        document = {"repeats": options.repeats, "backend": options.backend, "small": options.small, "medians": medians, "ratios": ratios}
        options.result.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
