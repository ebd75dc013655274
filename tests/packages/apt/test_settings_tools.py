"""dpkg's own tools, called for any way from some settings to others, in a root of their own."""

import os
import random
from pathlib import Path
from typing import List

import pytest

from os_update_agent.model.settings import ALTERNATIVE, Alternative, Choice, Setting, differing
from os_update_agent.packages.apt.backend import Apt
from os_update_agent.testing.repository import make_root

FILES = [f"/usr/bin/file{number}" for number in range(5)]
SLAVES = ("ed.1", "ed.2", "ed.3")


@pytest.fixture
def apt(tmp_path: Path) -> Apt:
    root = tmp_path / "root"
    make_root(root, sources=[])
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/man").mkdir()
    (root / "var/lib/dpkg/info/owner:amd64.list").write_text("\n".join(["/.", "/bin", *FILES, ""]), encoding="utf-8")
    for file in FILES:
        (root / file.lstrip("/")).write_text(file, encoding="utf-8")
    (root / "var/lib/dpkg/status").write_text(
        "Package: app\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nMaintainer: nobody\n"
        "Description: nothing\n\n",
        encoding="utf-8",
    )
    return Apt(root, tmp_path, tmp_path)


def some_alternative(chance: random.Random, name: str) -> List[Setting]:
    """One or no alternative, as its tool would keep it."""
    paths = chance.sample(FILES, chance.randint(0, 4))
    if not paths:
        return []
    slaves = tuple((f"{name}.{slave}", f"/usr/man/{name}{chance.randint(1, 2)}.{slave}") for slave in SLAVES)
    choices = tuple(
        Choice(path, str(chance.randint(-5, 5) * 10 + number), tuple(chance.choice(["", path]) for _ in slaves))
        for number, path in enumerate(paths)
    )
    mode = chance.choice(["auto", "manual"])
    best = max(choices, key=lambda choice: int(choice.priority)).path
    selected = best if mode == "auto" else chance.choice(paths)
    link = f"/usr/bin/{name}{chance.randint(1, 2)}"
    return [Setting(ALTERNATIVE, name, Alternative(mode, selected, link, slaves, choices).in_order.value)]


@pytest.mark.parametrize("seed", range(12))
def test_one_call_of_arrange_leads_from_any_alternatives_to_any_others(apt: Apt, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with open(tmp_path / "log", "wb") as output:
        for _ in range(4):
            now = apt.capture().settings
            target = tuple(one for name in ("ed", "vi") for one in some_alternative(chance, name))
            apt.arrange(differing(now, target), {}, output)
            assert apt.capture().settings == target, (tmp_path / "log").read_text(encoding="utf-8")


@pytest.mark.parametrize("seed", range(4))
def test_one_call_of_arrange_leads_from_any_diversions_to_any_others(apt: Apt, tmp_path: Path, seed: int) -> None:
    """The files go with their diversions."""
    chance = random.Random(seed)
    with open(tmp_path / "log", "wb") as output:
        for _ in range(6):
            places = {path: f"{path}.{chance.randint(1, 2)}" for path in sorted(chance.sample(FILES, 2))}
            target = tuple(
                Setting("diversion", path, (place, chance.choice(["app", "tool", ":"])))
                for path, place in places.items()
            )
            apt.arrange(differing(apt.capture().settings, target), {}, output)
            assert apt.capture().settings == target, (tmp_path / "log").read_text(encoding="utf-8")
            found = {
                f"/usr/bin/{path.name}": path.read_text(encoding="utf-8") for path in (apt.root / "usr/bin").iterdir()
            }
            assert found == {places.get(path, path): path for path in FILES}


@pytest.mark.parametrize("path", ["/bin", "/bin/file1", "/usr/bin/file1"])
def test_what_is_diverted_only_to_protect_it_is_not_moved(apt: Apt, tmp_path: Path, path: str) -> None:
    """A directory, a file below a link, and a file that nobody else has."""
    (apt.root / "bin").rmdir()
    (apt.root / "bin").symlink_to("usr/bin")
    (apt.root / "var/lib/dpkg/info/owner:amd64.list").rename(apt.root / "var/lib/dpkg/info/base-files.list")
    with (apt.root / "var/lib/dpkg/info/other.list").open("w", encoding="utf-8") as file:
        file.write("/.\n/bin\n/bin/file1\n")
    diverted = Setting("diversion", path, (f"{path}.usr-is-merged", "base-files"))
    with open(tmp_path / "log", "wb") as output:
        for now, target in (((), (diverted,)), ((diverted,), ())):
            apt.arrange(differing(now, target), {}, output)
            assert apt.capture().settings == target
            assert os.readlink(apt.root / "bin") == "usr/bin"
            assert sorted(file.name for file in (apt.root / "usr/bin").iterdir()) == [f"file{n}" for n in range(5)]


def test_a_file_that_cannot_be_moved_stops_nothing_else(apt: Apt, tmp_path: Path) -> None:
    (apt.root / "usr/bin/circle").symlink_to("circle")
    odd = Setting("diversion", "/usr/bin/circle/file", ("/usr/bin/circle/other", "app"))
    diverted = Setting("diversion", FILES[0], (f"{FILES[0]}.real", "app"))
    with open(tmp_path / "log", "wb") as output:
        apt.arrange(differing((), (odd, diverted)), {}, output)
    assert diverted in (apt.capture().settings or ())
    assert "diversion of /usr/bin/circle/file cannot be put back: " in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_capture_sees_each_change_of_a_setting(apt: Apt, tmp_path: Path) -> None:
    """Though dpkg's list of packages stays as it is."""
    database = apt.root / "var/lib/dpkg"
    seen = [apt.capture().settings]
    steps = (
        lambda: (database / "diversions").write_text("/a\n/b\n:\n", encoding="utf-8"),
        lambda: (database / "statoverride").write_text("root root 755 /a\n", encoding="utf-8"),
        lambda: (database / "alternatives/ed").write_text("auto\n/e\n\n/usr/bin/file1\n5\n\n", encoding="utf-8"),
        lambda: (apt.root / "etc/alternatives/ed").symlink_to("/usr/bin/file1"),
        lambda: (database / "alternatives/ed").write_text("auto\n/e\n\n/usr/bin/file1\n6\n\n", encoding="utf-8"),
        lambda: (database / "alternatives/ed").unlink(),
    )
    for step in steps:
        step()
        seen.append(apt.capture().settings)
    assert all(before != after for before, after in zip(seen, seen[1:]))
    assert seen[4] is not None and seen[4][0].value == ("auto", "/usr/bin/file1", "/e", "", "/usr/bin/file1", "5")


def test_what_a_tool_leaves_while_it_writes_is_no_alternative(apt: Apt) -> None:
    for name in ("ed.dpkg-new", "ed.dpkg-tmp", "ed.new", ".hidden"):
        (apt.root / "var/lib/dpkg/alternatives" / name).write_text("auto\n", encoding="utf-8")
    assert apt.capture().settings == ()
