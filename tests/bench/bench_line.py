"""How long one delivery takes through the hook's process, and what the bare apt-get commands take for the same. Run it by hand.

python tests/bench/bench_line.py [RESULT.json]
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

TESTS = Path(__file__).resolve().parents[1]
AGENT = TESTS.parent / "agent"
HOOK = TESTS.parent / "hooks" / "package-update"
sys.path[:0] = [str(AGENT), str(TESTS)]

from os_update_agent.demo.receiver import Receiver  # noqa: E402
from os_update_agent.demo.repository import Deb, Repository, make_root  # noqa: E402
from packages.aptroot import AptRoot  # noqa: E402

CHANGING, STAYING, REPEATS = 30, 30, 5
WITH_PEAK = """
import re, sys
from os_update_agent.hook import main
main()
open(sys.argv[1], "w").write(re.search("VmHWM:(.*)kB", open("/proc/self/status").read())[1])
"""
NAMES = [f"changing{number:02}" for number in range(CHANGING)]


class World:
    """A repository, a private root and the agent's directories below ``base``; what is below "node" can be kept and put back."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.node = base / "node"
        self.repository = Repository(base / "repository")
        self.repository.add(*(Deb(f"staying{number:02}", "1.0", files={f"usr/share/s{number}": "x" * 4000}) for number in range(STAYING)))
        self.add("1.0-1")
        # "copy:" makes apt fetch index and packages, as from a mirror.
        url = f"copy:{self.repository.directory}"
        self.root = make_root(self.node / "root", sources=[self.repository.source_line(url)])
        for name in ("state", "log", "run", "steps"):
            (self.node / name).mkdir(mode=0o700)
        self.settings = base / "agent.conf"
        paths = "".join(f"{name} = {self.node / name}\n" for name in ("state", "log", "run", "steps"))
        self.settings.write_text(f"[node]\nroot = {self.root}\nbackend = apt\n[paths]\n{paths}", encoding="utf-8")
        self.apt = AptRoot(self.root)
        self.apt.apt("update")
        self.apt.apt("install", *NAMES, *(f"staying{number:02}" for number in range(STAYING)))
        self.count = 0
        # An installed agent has its bytecode; this makes it once, away from the source.
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            **{"PYTHONPATH": str(AGENT), "PYTHONPYCACHEPREFIX": str(base / "bytecode"), "OS_UPDATE_AGENT_CONFIG": str(self.settings)},
        }

    def add(self, version: str) -> None:
        self.repository.add(*(Deb(name, version, files={f"usr/share/{name}": version * 2000}) for name in NAMES))
        self.repository.publish()

    def keep(self, name: str) -> None:
        shutil.copytree(self.node, self.base / name, symlinks=True)

    def put_back(self, name: str) -> None:
        shutil.rmtree(self.node)
        subprocess.run(["cp", "-a", str(self.base / name), str(self.node)], check=True)

    def deliver(
        self, action: str, value: str, *, config_id: str = "", signal: Optional[Mapping[str, str]] = None, peak: Optional[Path] = None
    ) -> None:
        """One delivery through the hook's process, which has to succeed; ``peak`` takes its largest size in kB."""
        self.count += 1
        told = {
            **{"update_after_time": value, "deploy_action": action, "deploy_stack_id": "bench/1"},
            **{"deploy_resource_name": "bench", "deploy_server_id": "server", "deploy_signal_transport": "NO_SIGNAL"},
            **(signal or {}),
        }
        deployment = {
            "id": config_id or f"config-{self.count}", "name": "bench", "group": "package-update", "config": "", "options": {},
            "inputs": [{"name": name, "type": "String", "value": value} for name, value in told.items()],
            "outputs": [{"name": name} for name in ("changes", "held_back", "state_digest", "restored_from")],
        }  # fmt: skip
        program = [str(HOOK)] if peak is None else ["-c", WITH_PEAK, str(peak)]
        done = subprocess.run(
            [sys.executable, *program], input=json.dumps(deployment), env=self.environment, capture_output=True, text=True, check=True
        )
        answer = json.loads(done.stdout)
        assert answer["deploy_status_code"] == 0, answer

    def has(self, version: str) -> bool:
        versions = self.apt.versions()
        return all(versions[name] == version for name in NAMES)


def median(action: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """Seconds."""
    taken = []
    for _ in range(REPEATS):
        before()
        begun = time.perf_counter()
        action()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def bare_update(world: World) -> None:
    world.apt.apt("-o", "APT::Update::Error-Mode=any", "update")
    world.apt.apt("--no-install-recommends", "dist-upgrade")


def bare_restore(world: World) -> None:
    world.apt.apt("--allow-downgrades", "--no-install-recommends", "install", *(f"{name}=1.0-1" for name in NAMES))


def measure(base: Path) -> Tuple[Dict[str, float], Dict[str, int]]:
    world = World(base)
    figures: Dict[str, float] = {}
    sizes: Dict[str, int] = {}

    def size(what: str, action: str, value: str, signal: Optional[Mapping[str, str]] = None) -> None:
        world.deliver(action, value, signal=signal, peak=base / "peak")
        sizes[what] = int((base / "peak").read_text())

    world.keep("fresh")
    figures["python -c pass"] = median(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))
    figures["CREATE: the baseline is recorded"] = median(lambda: world.deliver("CREATE", "v1"), lambda: world.put_back("fresh"))
    figures["UPDATE: the current value"] = median(lambda: world.deliver("UPDATE", "v1"))
    size("UPDATE: the current value", "UPDATE", "v1")
    world.deliver("UPDATE", "v1", config_id="again")
    figures["the same config id again"] = median(lambda: world.deliver("UPDATE", "v1", config_id="again"))
    with Receiver() as receiver:
        target = {
            **{"deploy_signal_transport": "CFN_SIGNAL", "deploy_signal_verb": "POST"},
            "deploy_signal_id": receiver.url("/signal?Signature=x"),
        }
        figures["UPDATE: the current value, signalled to loopback"] = median(lambda: world.deliver("UPDATE", "v1", signal=target))
        size("UPDATE: the current value, signalled to loopback", "UPDATE", "v1", target)
        assert len(receiver.received) == REPEATS + 1

    world.keep("baseline")
    world.add("2.0-1")
    figures["UPDATE: a new value, 30 packages change"] = median(lambda: world.deliver("UPDATE", "v2"), lambda: world.put_back("baseline"))
    assert world.has("2.0-1")
    world.keep("updated")
    figures["UPDATE: back to the first value, 30 packages change"] = median(
        lambda: world.deliver("UPDATE", "v1"), lambda: world.put_back("updated")
    )
    assert world.has("1.0-1")
    world.put_back("baseline")
    size("UPDATE: a new value, 30 packages change", "UPDATE", "v2")

    figures["bare: apt-get update, dist-upgrade"] = median(lambda: bare_update(world), lambda: world.put_back("baseline"))
    assert world.has("2.0-1")
    figures["bare: apt-get install name=version ..."] = median(lambda: bare_restore(world), lambda: world.put_back("updated"))
    assert world.has("1.0-1")
    return figures, sizes


def main(arguments: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", nargs="?", type=Path, help="also write the figures as JSON into this file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-line-") as directory:
        figures, sizes = measure(Path(directory))
    rows: List[Tuple[str, str]] = [(what, f"{seconds * 1000:8.0f} ms") for what, seconds in figures.items()]
    rows += [(f"peak memory of the hook, {what}", f"{kilobytes / 1024:8.1f} MB") for what, kilobytes in sizes.items()]
    print(f"medians of {REPEATS}, {CHANGING} of {CHANGING + STAYING} packages change, Python {sys.version.split()[0]}")
    for what, figure in rows:
        print(f"  {what:80} {figure}")
    if options.result:
        document = {"repeats": REPEATS, "seconds": figures, "peak_kb": sizes}
        options.result.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
