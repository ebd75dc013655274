"""Faults of the clock: it is years ahead or behind, and it jumps; libfaketime makes it so for whole processes."""

import glob
import os
import sqlite3
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Tuple

from faults.fault import VERSIONS_NEW, VERSIONS_OLD, Lab, assert_next_works, assert_true, delivered, fault
from os_update_agent.ledger.reserve import NAME as RESERVE
from os_update_agent.testing.repository import Deb
from packages.node import Node

YEAR = 365 * 86400


def clock(offset: int) -> Tuple[str, ...]:
    """Return the words that run a program under a clock so many seconds ahead (or behind). What counts the time since
    the boot is right, as on a machine whose clock is wrong.
    """
    return (*_library(), f"FAKETIME={offset:+d}s")


def changing_clock(file: Path) -> Tuple[str, ...]:
    """The same, by the offset that the file holds at each moment."""
    return (*_library(), "FAKETIME_NO_CACHE=1", f"FAKETIME_TIMESTAMP_FILE={file}")


def _library() -> Tuple[str, ...]:
    found = sorted(glob.glob("/usr/lib/*/faketime/libfaketime.so.1"))
    assert found, "libfaketime is missing: apt-get install libfaketime"
    return ("/usr/bin/env", f"LD_PRELOAD={found[0]}")


def _since_1970() -> int:
    return -int(time.time()) + 60


def _year_of(node: Node, number: int) -> int:
    with node.ledger() as ledger:
        run = ledger.run(number)
    assert run is not None
    return datetime.fromtimestamp(run.started, tz=timezone.utc).year


@fault("clock/ten years ahead, then right", is_cheap=False)
def ahead(lab: Lab) -> None:
    """The order of runs and values goes by number; a way back leads to the state before."""
    with lab.node() as node:
        result = delivered(node, "v2", *clock(10 * YEAR))
        assert result.status == 0, result.complaint
        assert_true(node, result)
        assert _year_of(node, 1) > 2034
        _goes_on(node)


@fault("clock/thirty years behind, then right", is_cheap=False)
def behind(lab: Lab) -> None:
    """apt refuses an index of the future, and says so. A restore needs no index, in 1970 too."""
    with lab.node() as node:
        result = delivered(node, "v2", *clock(-30 * YEAR))
        assert result.status != 0 and "not valid yet" in result.complaint, result.complaint
        assert_true(node, result)
        assert delivered(node, "v2").status == 0
        result = delivered(node, "v1", *clock(_since_1970()))
        assert result.status == 0, result.complaint
        assert node.versions() == VERSIONS_OLD
        result = delivered(node, "v2", *clock(_since_1970()))
        assert result.status == 0 and node.versions() == VERSIONS_NEW, result.complaint
        assert delivered(node, "v1").status == 0
        assert_next_works(node)


def _goes_on(node: Node) -> None:
    """Everything that a wrong clock could have put in the wrong order."""
    document = node.command("history", "--json")
    assert '"v2"' in document
    assert delivered(node, "v2").status == 0 and node.versions() == VERSIONS_NEW
    node.command("rollback", "--last", "--key", node.history().key)
    assert node.versions() == VERSIONS_OLD
    with node.ledger() as ledger:
        runs = ledger.runs()
    assert [run.id for run in runs] == sorted((run.id for run in runs), reverse=True)
    assert (node.state / RESERVE).stat().st_size > 0
    assert_next_works(node)


@fault("clock/jumps in the middle of a transaction, forward and back")
def jumps(lab: Lab) -> None:
    """The transaction, its result and the signal go on, and no run takes a negative time."""
    for years in lab.some((-20, 20), 1):
        with lab.node() as node:
            file = node.directory / "offset"
            file.write_text("+0s\n")
            # In one step: faketime ends a program that reads half of the file.
            script = f"echo '{years * YEAR:+d}s' > {file}.new; mv {file}.new {file}"
            node.offer(Deb("libapp", "2.0-1", files={"usr/lib/libapp": "2\n"}, scripts={"preinst": script}))
            result = delivered(node, "v2", *changing_clock(file))
            assert result.status == 0, result.complaint
            assert_true(node, result)
            file.write_text("+0s\n")
            with node.ledger() as ledger:
                (run,) = ledger.runs()
            assert run.finished is not None and abs(run.finished - run.started) > YEAR
            assert '"seconds": -' not in node.command("history", "--json")
            assert_next_works(node)


@fault("clock/a result is owed under a wrong clock", is_cheap=False)
def owed(lab: Lab) -> None:
    """It is sent at the next opportunity, and does not wait for the clock."""
    for offset in (10 * YEAR, -2):
        with lab.node() as node:
            node.receiver.answer(503)
            result = delivered(node, "v2", *clock(offset))
            assert result.status == 0, result.complaint
            node.wait_until_at_rest()
            node.receiver.answer(200)
            begun = time.monotonic()
            node.command("resume")
            node.wait_until_at_rest()
            assert time.monotonic() - begun < 30
            assert node.signals()[result.id].standing == "delivered"
            assert node.receiver.received[-1].body.decode() == result.stdout


@fault("clock/a refused result of the future is not counted for ever", is_cheap=False)
def refused(lab: Lab) -> None:
    """It is dropped after a week, from whichever side."""
    with lab.node() as node:
        node.receiver.answer(404)
        result = delivered(node, "v2", *clock(10 * YEAR))
        node.wait_until_at_rest()
        assert node.signals()[result.id].standing == "refused"
        node.command("resume")
        node.wait_until_at_rest()
        assert result.id not in node.signals() or node.signals()[result.id].standing == "superseded"


@fault("clock/files kept for a key that was delivered in 1970")
def forget_after(lab: Lab) -> None:
    """forget_after drops nothing for a key whose age is not known, nor for one of the future."""
    for offset in lab.some((_since_1970(), 10 * YEAR), 1):
        with lab.node() as node:
            node.configure("forget_after = 30\n")
            assert delivered(node, "v2").status == 0
            # The key has received nothing under the right clock.
            with sqlite3.connect(node.state / "ledger.sqlite") as db:
                db.execute("UPDATE deliveries SET received = received + ?", (offset,))
            db.close()
            assert delivered(node, "o1", action="CREATE", resource="other").status == 0
            node.command("prune")
            assert "libapp 1.0-1" in node.kept()
            assert delivered(node, "v1").status == 0 and node.versions() == VERSIONS_OLD


@fault("clock/a file with a password of the future is removed", is_cheap=False)
def left_environment(lab: Lab) -> None:
    """A worker's environment that was left under a wrong clock does not stay for ten years."""
    with lab.node() as node:
        left = node.run / "os-update-agent-worker-x.env"
        left.write_text("http_proxy=secret\n")
        later = time.time() + 10 * YEAR
        os.utime(left, (later, later))
        assert delivered(node, "v2").status == 0
        assert not left.exists()


@fault("clock/after 2038", is_cheap=False)
def after_2038(lab: Lab) -> None:
    """No time is kept in 32 bits."""
    with lab.node() as node:
        assert delivered(node, "v2", *clock(30 * YEAR)).status == 0
        assert delivered(node, "v1", *clock(60 * YEAR)).status == 0
        assert node.versions() == VERSIONS_OLD
        assert_next_works(node)
