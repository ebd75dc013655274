"""The worker's plan is the one that apt-get makes, for made-up packages of all kinds."""

import os
import random
from itertools import takewhile
from pathlib import Path
from typing import Any, Dict

import pytest

from os_update_agent.node.process import run
from os_update_agent.packages.apt.parse import parse_simulation
from packages.apt.index import Index

NAMES = [f"p{number:02}" for number in range(24)]
FOREIGN = "i386"


def relation(chance: random.Random) -> str:
    name = chance.choice(NAMES)
    return name if chance.random() < 0.6 else f"{name} ({chance.choice(['>=', '<<', '='])} {chance.choice('12')})"


def fields(chance: random.Random, version: str) -> Dict[str, str]:
    found = {}
    for name, share in (("Depends", 0.5), ("Recommends", 0.2), ("Breaks", 0.1), ("Conflicts", 0.05), ("Provides", 0.1)):
        if chance.random() < share:
            found[name] = relation(chance)
    if "Provides" in found:
        found["Provides"] = f"virtual{chance.randint(1, 3)}"
    if "Conflicts" in found:
        found["Replaces"] = found["Conflicts"]
    if chance.random() < 0.1:
        found["Architecture"] = "all"
    if version == "2" and chance.random() < 0.1:
        found["Phased_Update_Percentage"] = "0"
    return found


def made(directory: Path, seed: int) -> Index:
    """Version 1 of most packages is installed without needs; version 2 of most is offered, with needs of all kinds."""
    chance = random.Random(seed)
    index = Index(directory)
    index.settings('APT::Machine-ID "0123456789abcdef0123456789abcdef";\n')
    with open(index.root / "var/lib/dpkg/arch", "a", encoding="utf-8") as file:
        file.write(f"{FOREIGN}\n")
    for name in NAMES:
        multi: Dict[str, Any] = {"Multi_Arch": "same"} if chance.random() < 0.2 else {}
        if chance.random() < 0.8:
            index.install(name, held=chance.random() < 0.1, auto=chance.random() < 0.3, **multi)
            if multi:
                index.install(name, Architecture=FOREIGN, **multi)
        suite = "demo-security" if chance.random() < 0.3 else "demo"
        for version in "12" if chance.random() < 0.9 else "1":
            own = {} if version == "1" else fields(chance, version)
            if multi:
                own.pop("Architecture", "")
                index.offer(name, version, suite=suite, Architecture=FOREIGN, **own, **multi)
            index.offer(name, version, suite=suite, **own, **multi)
    return index


@pytest.mark.parametrize("seed", range(10))
def test_an_update_of_everything_is_what_apt_get_would_do(tmp_path: Path, seed: int) -> None:
    index = made(tmp_path, seed)
    changes, held = index.planned()
    environment = {**os.environ, **index.apt._environment()}
    said = run(["apt-get", "-s", "-q", "-y", "dist-upgrade"], env=environment).stdout
    state = index.apt.capture()
    found = {(state.slot(change.package), change.after.version if change.after else None) for change in changes}
    assert found and found == parse_simulation(said)
    kept = takewhile(lambda line: line.startswith("  "), said.partition("kept back:\n")[2].splitlines())
    names = {name for line in kept for name in line.split()}
    # apt 2.2 does not name those that it has found to be impossible.
    assert names <= {item.name for item in held}
    assert all(item.reason for item in held)
