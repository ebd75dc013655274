"""The sequence: build the root, make the legs, compare, clean up. See the package's docstring."""

import argparse
import fcntl
import os
import shutil
import sys
import time
from typing import Dict

from real import machine, mirrors, root, settings
from real.content import age
from real.legs import LEGS, Checkpoint, observe, travel
from real.node import Node
from real.report import Report


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/run real", description="The proof on real packages of Debian.")
    parser.add_argument("--keep", action="store_true", help="keep the root and the agent's directories")
    parser.add_argument(
        "--old-sources",
        action="store_true",
        help="keep the sources of the old release beside those of the next one: nothing has to be rebuilt",
    )
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("this needs root", file=sys.stderr)
        return 2
    os.umask(0o022)
    node = Node()
    logs = node.work / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with (node.work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        root.remove(node.directory)
        report = Report(logs / "report.txt")
        before = machine.fingerprint()
        try:
            prove(node, report, keep_old=arguments.old_sources)
        finally:
            shutil.rmtree(logs / "agent", ignore_errors=True)
            shutil.copytree(node.directory / "log", logs / "agent")
            if not arguments.keep:
                root.remove(node.directory)
            report.machine(before, machine.fingerprint())
    report.say(f"{report.faults} faults; the report and the agent's logs are in {logs}")
    return 1 if report.faults else 0


def prove(node: Node, report: Report, *, keep_old: bool) -> None:
    """Build the node, make every leg, and compare what has to be equal."""
    begin = time.monotonic()
    found = mirrors.find()
    for suite in sorted(found.stale):
        report.say(f"the mirror of {suite} is not whole: it gives no {mirrors.FOREIGN} here")
    node.prepare()
    root.build(node, found)
    age(node)
    here = observe(node)
    report.say(
        f"the root: {len(here.settings['rows'])} packages, {len(here.tree)} paths, {time.monotonic() - begin:.0f} s"
    )
    report.programs(here.programs)
    reached: Dict[str, Checkpoint] = {}
    for leg in LEGS:
        if leg.is_back and leg.value not in reached:
            report.say("", f"== {leg.verb} {leg.value}: left out, the value was never reached")
            continue
        owners = settings.owners(node.root)
        arrival = travel(node, found, leg, here, keep_old=keep_old)
        start, here = here, arrival.checkpoint
        report.arrival(arrival)
        report.programs(here.programs)
        both = (settings.owners(node.root), owners)
        if arrival.answer.done.status:
            report.say("  it was undone; compared with the node before:")
            report.comparison(start, here, both)
        elif leg.is_back:
            report.comparison(reached[leg.value], here, both)
        else:
            reached.setdefault(leg.value, here)
    report.say("", f"{time.monotonic() - begin:.0f} s in all")


if __name__ == "__main__":
    sys.exit(main())
