"""Faults of scarce resources: memory, descriptors, processes, stack, time, and processes that are killed for them."""

import os
import shutil
import signal
from contextlib import ExitStack
from typing import Callable, Iterator, List

from faults.fault import (
    NOBODY,
    VERSIONS_NEW,
    VERSIONS_OLD,
    Lab,
    assert_next_works,
    assert_no_matter,
    assert_true,
    delivered,
    fault,
)
from faults.places import WAITS
from os_update_agent.testing.repository import Deb
from packages.node import Node, Running, wait_until


@fault("memory/the hook and all that it starts have little of it")
def little_memory(lab: Lab) -> None:
    """From too little for Python's imports to too little for apt."""
    _assert_true_under(lab, *(f"--as={megabytes << 20}" for megabytes in lab.some((40, 64, 24))))


def _assert_true_under(lab: Lab, *limits: str) -> None:
    """Deliver a value under each limit of prlimit(1): each printed result is true, and none names a bug."""
    with lab.node() as node:
        for number, limit in enumerate(limits):
            result = _start(node, f"m{number}", "prlimit", limit).wait(60)
            node.wait_until_at_rest()
            assert node.versions() in (VERSIONS_OLD, VERSIONS_NEW)
            assert node.hand.faults() == ""
            if result.returncode == 0:
                assert result.status != 70, result.complaint
                assert result.status or node.versions() == VERSIONS_NEW
        assert_next_works(node)


def _start(node: Node, value: str, *wrapper: str) -> Running:
    node.wrapper = wrapper
    try:
        return node.start("UPDATE", value)
    finally:
        node.wrapper = ()


def _named(node: Node, *words: str) -> List[int]:
    """The processes of the node whose command lines have all of the words."""
    return [pid for pid, line in node.processes().items() if all(word in line for word in words)]


def _killed_in_the_middle(lab: Lab, find: Callable[[Node], List[int]], times: int = 1) -> None:
    """Kill what is found, as the kernel does it when memory is short, while a script of the transaction waits."""
    with lab.node() as node:
        node.offer(Deb("libapp", "2.0-1", files={"usr/lib/libapp": "2\n"}, scripts={"postinst": WAITS}))
        running = node.start("UPDATE", "v2")
        wait_until(node.hand.is_waiting, "the script")
        victims = find(node)
        assert victims
        node.kill(victims)
        node.hand.let_go()
        result = running.wait(90)
        assert result.returncode == 0, result.stderr
        assert "Traceback" not in result.stdout + result.stderr
        assert result.status != 70
        node.wait_until_at_rest()
        assert node.versions() == (VERSIONS_OLD if result.status else VERSIONS_NEW), result.complaint
        assert node.hand.faults() == ""
        assert len(result.received) == 1
        assert_next_works(node)


@fault("killed/the worker in the transaction", is_cheap=False)
def worker_killed(lab: Lab) -> None:
    """Another worker finishes the run."""
    _killed_in_the_middle(lab, lambda node: _named(node, "os_update_agent.worker"))


@fault("killed/apt-get in the transaction", is_cheap=False)
def apt_killed(lab: Lab) -> None:
    """dpkg ends without apt; what it has left is repaired."""
    _killed_in_the_middle(lab, lambda node: _named(node, "apt-get"))


@fault("killed/dpkg in the transaction", is_cheap=False)
def dpkg_killed(lab: Lab) -> None:
    """What is half-installed is undone."""
    _killed_in_the_middle(lab, lambda node: _named(node, "dpkg", "--unpack") or _named(node, "dpkg", "--configure"))


@fault("killed/worker, apt-get, dpkg and the script in the transaction", is_cheap=False)
def all_killed(lab: Lab) -> None:
    """As a control group that is out of memory is killed as a whole; the hook is outside."""
    _killed_in_the_middle(
        lab, lambda node: [pid for pid in node.processes() if pid not in _named(node, "os_update_agent.hook")]
    )


@fault("killed/the hook in the transaction", is_cheap=False)
def hook_killed(lab: Lab) -> None:
    """The worker goes on and tells Heat."""
    with lab.node() as node:
        node.offer(Deb("libapp", "2.0-1", files={"usr/lib/libapp": "2\n"}, scripts={"postinst": WAITS}))
        running = node.start("UPDATE", "v2")
        wait_until(node.hand.is_waiting, "the script")
        running.process.kill()
        running.process.wait()
        node.hand.let_go()
        node.wait_until_at_rest()
        assert node.versions() == VERSIONS_NEW
        assert node.signals()[running.id].standing == "delivered"
        assert_next_works(node)


@fault("memory/a worker with a limit in the transaction of dnf", is_cheap=False)
def dnf_killed(lab: Lab) -> None:
    """The process that has loaded dnf is killed: the result is true, and the next delivery works."""
    from packages.node import Template

    with ExitStack() as stack:
        place = lab.directory / "dnf"
        place.mkdir()
        stack.callback(shutil.rmtree, place)
        template = Template.made_in(place, "dnf4")
        template = template.recorded(place / "based")
        for moment in ("at first", "in the transaction"):
            with Node(place / moment.replace(" ", "-"), template) as node:
                _kill_dnf(node, moment)


def _kill_dnf(node: Node, moment: str) -> None:
    from packages.node import VERSIONS_ONE, VERSIONS_TWO, Pkg

    node.offer_two()
    if moment == "in the transaction":
        node.offer(Pkg("tool", "2.0", waits=True))
    running = node.start("UPDATE", "v2")
    if moment == "in the transaction":
        wait_until(node.hand.is_waiting, "the scriptlet")
    else:
        wait_until(lambda: bool(_named(node, "dnf/worker/main.py")), "dnf")
    node.kill(_named(node, "dnf/worker/main.py"))
    node.hand.let_go()
    result = running.wait(120)
    assert result.returncode == 0 and result.status != 70, result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    node.wait_until_at_rest()
    after = {**VERSIONS_TWO, **({"tool": "2.0-1"} if moment == "in the transaction" else {})}
    assert node.versions() == (VERSIONS_ONE if result.status else after), result.complaint
    assert node.hand.faults() == ""
    done = delivered(node, "v3")
    assert done.status == 0, done.complaint
    assert node.versions() == after


@fault("descriptors/sixteen at most")
def few_descriptors(lab: Lab) -> None:
    """From too few for the ledger to too few for a child."""
    _assert_true_under(lab, *(f"--nofile={most}" for most in lab.some((16, 10, 6))))


@fault("processes/none can be started", is_cheap=False)
def no_processes(lab: Lab) -> None:
    """A user may have no more processes (RLIMIT_NPROC holds for everybody but root)."""
    with lab.node() as node:
        give_to_nobody(node)
        node.hook = (str(lab.installed / "package-update"),)
        user = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        for number, most in enumerate((0, 1, 2, 3)):
            result = delivered(node, f"m{number}", *user, "prlimit", f"--nproc={most}")
            node.wait_until_at_rest()
            assert node.versions() == (VERSIONS_OLD if result.status else node.versions())
            assert node.hand.faults() == ""
        result = delivered(node, "v-next", *user)
        assert result.status == 0 and node.versions() == VERSIONS_NEW, result.complaint


def give_to_nobody(node: Node) -> None:
    """Make another user the owner of the node, so that he can work on it."""
    for path in (node.directory, *node.directory.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@fault("stack/64 KiB", is_cheap=False)
def small_stack(lab: Lab) -> None:
    """Python needs more for some of what it does."""
    with lab.node() as node:
        assert_survived_if_started(node, "prlimit", f"--stack={64 << 10}")
        assert_next_works(node)


def assert_survived_if_started(node: Node, *wrapper: str) -> None:
    """Update where the hook itself may not be able to start: the node is whole, and what it says is true."""
    result = _start(node, "v2", *wrapper).wait(60)
    node.wait_until_at_rest()
    assert node.versions() in (VERSIONS_OLD, VERSIONS_NEW)
    assert node.hand.faults() == ""
    if result.returncode == 0:
        assert result.status != 70, result.complaint
        assert node.versions() == (VERSIONS_OLD if result.status else VERSIONS_NEW), result.complaint


@fault("files/no file may have more than some bytes", is_cheap=False)
def small_files(lab: Lab) -> None:
    """A write beyond the limit fails, or ends the process with SIGXFSZ."""
    with lab.node() as node:
        for number, size in enumerate((0, 4096, 65536)):
            result = _start(node, f"m{number}", "prlimit", f"--fsize={size}").wait(60)
            node.wait_until_at_rest()
            assert node.versions() in (VERSIONS_OLD, VERSIONS_NEW)
            assert node.hand.faults() == ""
            assert "Traceback" not in result.stderr, result.stderr
            if result.returncode == 0 and result.stdout:
                assert result.status != 70, result.complaint
        assert_next_works(node)


@fault("time/a second of processor time", is_cheap=False)
def little_time(lab: Lab) -> None:
    """SIGXCPU ends the worker; another one goes on, and at last the run is given up."""
    with lab.node() as node:
        assert_survived_if_started(node, "prlimit", "--cpu=1")
        assert_next_works(node)


@fault("memory/no address space for locks and no core files", is_cheap=False)
def other_limits(lab: Lab) -> None:
    """None of them matters."""
    with lab.node() as node:
        limits = ("--memlock=0", "--core=0", "--msgqueue=0", "--sigpending=0", "--rtprio=0", "--locks=0")
        assert_no_matter(node, "prlimit", *limits)


def _deaths() -> Iterator[int]:
    yield from (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS)


@fault("killed/a script of a package, by each deadly signal", is_cheap=False)
def script_killed(lab: Lab) -> None:
    """A failing script is a failed update, however it ended."""
    for number in _deaths():
        with lab.node() as node:
            node.offer(Deb("libapp", "2.0-1", scripts={"postinst": f"kill -{int(number)} $$"}))
            result = delivered(node, "v2")
            assert result.status != 0
            assert_true(node, result)
            assert "libapp" in result.complaint
