"""What completes an interrupted transaction of rpm, from the record, the installed packages, and the files at hand."""

from typing import Dict, Iterable, Sequence

import pytest

from os_update_agent.packages.dnf.protocol import Identity
from os_update_agent.packages.dnf.worker.completion import Installed, Steps, due, steps
from os_update_agent.packages.dnf.worker.identity import slot

NATIVE = "x86_64"


def both(version: str, arch: str = "") -> Identity:
    return "both", arch or NATIVE, f"{version}-1"


NEW, NEW_I, OLD, OLD_I = both("2.0"), both("2.0", "i686"), both("1.0"), both("1.0", "i686")


def installed(*identities: Identity, several: Sequence[str] = (), obsoleted: Sequence[str] = ()) -> Sequence[Installed]:
    """The packages in the order in which they were installed."""
    return [
        Installed(one, slot(one[0], one[1], NATIVE), one[0] in several, (number, number), one[0] in obsoleted)
        for number, one in enumerate(identities)
    ]


def chosen(comes: Sequence[Identity], goes: Sequence[Identity], there: Sequence[Installed], files: object) -> Steps:
    assert isinstance(files, (list, tuple))
    found: Dict[Identity, str] = {identity: "file" for identity in files}
    return steps(due(comes, goes, there, NATIVE), found)


def kinds(found: Steps) -> Sequence[Sequence[Identity]]:
    return found.upgrade, found.beside, found.again, sorted(found.erase)


def test_a_pair_is_completed_by_upgrade_and_by_reinstallation() -> None:
    found = chosen([NEW, NEW_I], [OLD, OLD_I], installed(OLD, OLD_I, NEW), [NEW, NEW_I, OLD, OLD_I])
    assert kinds(found) == ([NEW_I], [], [NEW], [OLD_I, OLD]) and not found.notes


def test_the_other_architecture_that_is_complete_and_has_no_file_stays() -> None:
    found = chosen([NEW, NEW_I], [OLD, OLD_I], installed(OLD, OLD_I, NEW_I), [NEW])
    # rpm's upgrade of the one would erase the other.
    assert kinds(found) == ([], [NEW], [], [OLD_I, OLD]) and not found.notes


@pytest.mark.parametrize("files", [[OLD], [OLD, NEW]])
def test_a_pair_whose_other_architecture_has_no_file_is_taken_back(files: Iterable[Identity]) -> None:
    found = chosen([NEW, NEW_I], [OLD, OLD_I], installed(OLD, OLD_I, NEW), list(files))
    assert kinds(found) == ([], [], [OLD], [NEW]) and not found.notes


def test_a_pair_that_is_complete_on_one_side_is_taken_back_from_the_file_of_its_old_version() -> None:
    found = chosen([NEW, NEW_I], [OLD, OLD_I], installed(OLD_I, NEW), [OLD, NEW])
    assert kinds(found) == ([], [OLD], [], [NEW])


def test_a_pair_of_which_nothing_was_begun_is_left_alone() -> None:
    found = chosen([NEW, NEW_I], [OLD, OLD_I], installed(OLD, OLD_I), [NEW])
    assert kinds(found) == ([], [], [], []) and not found.notes


def test_a_pair_that_has_no_file_either_way_is_freed_from_what_is_doubled_and_that_is_said() -> None:
    found = chosen([NEW, NEW_I], [OLD, OLD_I], installed(OLD, OLD_I, NEW), [NEW])
    assert kinds(found) == ([], [], [], [OLD])
    assert found.notes == ["both.i686 2.0-1 has no package file, so its other architecture is at another version now"]


def test_what_the_version_that_is_taken_back_obsoletes_stays() -> None:
    other = "oldname", NATIVE, "1.0-1"
    there = installed(OLD, OLD_I, other, NEW, obsoleted=["oldname"])
    found = chosen([NEW, NEW_I], [OLD, OLD_I, other], there, [OLD])
    assert kinds(found) == ([], [], [OLD], [NEW])


def test_the_other_architecture_comes_along_where_no_record_tells() -> None:
    found = chosen([], [], installed(OLD, OLD_I, NEW), [NEW, NEW_I])
    assert kinds(found) == ([NEW_I], [], [NEW], [OLD_I, OLD])
    found = chosen([], [], installed(both("0.9", "i686"), OLD, NEW), [NEW, NEW_I])
    # It was at another version before, and stays there.
    assert kinds(found) == ([], [], [NEW], [OLD])


def test_a_pair_that_somebody_has_changed_since_is_left_alone() -> None:
    found = chosen([NEW, NEW_I], [OLD, OLD_I], installed(both("3.0"), OLD_I), [NEW, NEW_I])
    assert kinds(found) == ([], [], [], [])


def test_a_package_in_one_architecture_needs_no_file_to_lose_its_old_half() -> None:
    assert kinds(chosen([NEW], [OLD], installed(OLD, NEW), [])) == ([], [], [], [OLD])
    assert kinds(chosen([NEW], [OLD], installed(OLD), [])) == ([], [], [], [])
    assert kinds(chosen([NEW], [OLD], installed(OLD), [NEW])) == ([NEW], [], [], [OLD])


def test_a_kernel_comes_beside_the_others_and_once() -> None:
    old, new = ("kernel", NATIVE, "1-1"), ("kernel", NATIVE, "2-1")
    assert kinds(chosen([new], [], installed(old, several=["kernel"]), [new])) == ([], [new], [], [])
    assert kinds(chosen([new], [], installed(old, new, several=["kernel"]), [new])) == ([], [], [new], [])


def test_an_architecture_that_joins_another_one_erases_nothing() -> None:
    assert kinds(chosen([OLD_I], [], installed(OLD, OLD_I), [OLD_I])) == ([], [], [OLD_I], [])
    assert kinds(chosen([OLD_I], [], installed(OLD), [OLD_I])) == ([], [OLD_I], [], [])
    assert kinds(chosen([OLD_I], [], installed(OLD), [])) == ([], [], [], [])


def test_a_package_that_changes_its_architecture_stays_until_its_successor_has_a_file() -> None:
    assert kinds(chosen([NEW], [OLD_I], installed(OLD_I), [])) == ([], [], [], [])
    assert kinds(chosen([NEW], [OLD_I], installed(OLD_I), [NEW])) == ([NEW], [], [], [OLD_I])
