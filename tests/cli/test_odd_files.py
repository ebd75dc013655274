"""Each file that the agent reads, as a directory, a FIFO, a link that leads to itself, garbage, nothing, or 100 MB: the
verbs and the hook end soon, with a sentence, and never as a bug.
"""

import os
from pathlib import Path
from typing import Callable, Dict, Iterator

import pytest

from cli.inside import InsideNode, forget, inside, prepared, quick_directory, unprintable, within
from ledger.stored import old_ledger
from os_update_agent.cli import completion, man
from os_update_agent.ledger import Ledger

# Seconds for one verb. The slowest one takes 0.3 s.
SECONDS = 20.0
LARGE = 100 << 20

HOOK_EACH = 3

# The paths below the directory of a node, and whether the agent can do nothing at all without them.
READ = {
    "agent.conf": True,
    "collect.conf": False,
    "heat-config": False,
    "deployed/known.json": False,
    "state/ledger.sqlite": True,
    "state/ledger.sqlite-journal": True,
    "state/ledger.reserve": False,
    "state/archive": False,
    "state/archive/tool_1.0-1_amd64.deb": False,
    "state/etc": False,
    "state/etc/000001.tar": False,
    "log": False,
    "log/000001.log": False,
    "log/worker.log": False,
    "run": True,
    "run/lock": True,
    "run/worker.lock": True,
    "run/outbox.lock": True,
    "run/told-1": False,
    "run/a.env": False,
    "run/work": False,
    "run/work/progress": False,
    "run/work/progress.refresh": False,
    "run/work/reboot-suggested.json": False,
    "run/work/default-streams.json": False,
    "steps": False,
    "steps/pre-update.d": False,
    "steps/pre-update.d/10-step": False,
    "metrics/agent.prom": False,
    "ca.pem": False,
    "root/run/reboot-required": False,
    "root/run/reboot-required.pkgs": False,
    "root/var/run/reboot-required": False,
    "root/var/run/reboot-required.pkgs": False,
    "root/system-update": False,
    "root/etc/system-update": False,
    "root/etc/os-release": False,
    "root/usr/lib/os-release": False,
    "root/etc/apt/apt.conf.d/90-x": False,
    "root/etc/dpkg/dpkg.cfg": False,
    "root/var/lib/dpkg/status": False,
    "root/var/lib/dpkg/lock": False,
    "root/var/lib/dpkg/lock-frontend": False,
    "root/var/lib/apt/extended_states": False,
    "root/var/lib/apt/lists/lock": False,
    "root/var/cache/apt/archives/lock": False,
    "root/usr/lib/sysimage/libdnf5/offline/offline-transaction-state.toml": False,
    "root/var/lib/dnf/system-upgrade/system-upgrade-state.json": False,
    "root/var/lib/PackageKit/prepared-update": False,
}


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(LARGE)


ODD: Dict[str, Callable[[Path], object]] = {
    "a directory": lambda path: path.mkdir(),
    "a FIFO": lambda path: os.mkfifo(path, 0o600),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "garbage": lambda path: path.write_bytes(b'\x00\xff\x1b[2J\n[a\n{"a": [1\n' * 9),
    "nothing": lambda path: path.touch(mode=0o600),
    "nested JSON": lambda path: path.write_text("[" * 5000),
    "100 MB": large,
}
VERBS = (
    ("status",),
    ("history", "--json"),
    ("show", "v1", "--key", "looks"),
    ("plan", "v1", "--key", "looks", "--no-refresh"),
    ("forget", "--key", "looks", "--dry-run"),
    ("prune", "--dry-run"),
)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with quick_directory() as directory:
        prepared(directory)
        conf = directory / "agent.conf"
        text = conf.read_text(encoding="utf-8")
        text += f"metrics = {directory}/metrics/agent.prom\n[signal]\nca_certificate = {directory}/ca.pem\n"
        conf.write_text(text, encoding="utf-8")
        Ledger(old_ledger(directory)).close()
        yield directory


@pytest.fixture
def node(directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> InsideNode:
    inside(directory, monkeypatch)
    return InsideNode(directory, capsys)


@pytest.mark.parametrize(("place", "name"), list(enumerate(READ)))
def test_an_odd_file_is_no_bug_and_nothing_waits_for_it(node: InsideNode, place: int, name: str) -> None:
    path = node.directory / name
    aside = node.directory / "aside"
    for number, (kind, make) in enumerate(ODD.items()):
        is_there = os.path.lexists(path)
        if is_there:
            path.rename(aside)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make(path)
        try:
            check(node, f"{name} is {kind}", number + place)
        finally:
            forget(path)
            if is_there:
                aside.rename(path)


def check(node: InsideNode, where: str, number: int) -> None:
    """Ask one verb and, now and then, the hook: all meet each file."""
    argv = VERBS[number % len(VERBS)]
    if not where.startswith("agent.conf is nothing"):  # which means the node itself
        with within(SECONDS):
            status, out, err = node.call(*argv)
        assert status in (0, 1, 2, 75), f"{where}: {argv} ended with {status}: {err}"
        assert status == 0 or "os-update-agent: " in err, f"{where}: {argv}: {err}"
        assert "Traceback" not in out + err and "bug in" not in out + err, f"{where}: {argv}: {err}"
        assert not unprintable(out + err), f"{where}: {argv}"
    if number % HOOK_EACH or where.startswith("agent.conf"):
        return
    with within(SECONDS):
        body = node.deliver(where.replace("/", "-"), "DELETE", state_key="looks")
    assert body["deploy_status_code"] in (0, 1, 2, 75), f"{where}: {body}"
    assert body["deploy_status_code"] == 0 or READ[where.partition(" ")[0]], f"{where}: {body}"
    assert "bug in" not in body["deploy_stderr"], f"{where}: {body}"


@pytest.mark.parametrize("kind", ["a directory", "garbage", "a link to nothing"])
def test_a_manual_or_completion_that_cannot_be_read_is_no_bug(
    node: InsideNode, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = node.directory / "file"
    ODD[kind](path)
    for module, name, argv in ((completion, "COMPLETION", ("completion", "bash")), (man, "MANUAL", ("man",))):
        monkeypatch.setattr(module, name, path)
        status, _, err = node.call(*argv)
        assert (status, "bug in" in err) == (0 if kind == "garbage" else 1, False), err
    forget(path)
