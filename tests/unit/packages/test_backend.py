"""The protocol that every package manager satisfies: what has a default, and what has none."""

from typing import Dict, List, Sequence, Set, Tuple, Type

import pytest

from os_update_agent.model.errors import Busy, CommandFailed, PackageError
from os_update_agent.model.packages import Package
from os_update_agent.packages.apt.backend import Apt
from os_update_agent.packages.backend import Backend, set_marks
from os_update_agent.packages.dnf.dnf4 import Dnf4
from os_update_agent.packages.dnf.dnf5 import Dnf5

# What an implementation may leave out, and who does not.
OPTIONAL: Dict[str, Set[Type[Backend]]] = {
    **{name: {Apt} for name in ("owners", "packaged_content", "repack", "letting_go")},
}
APP, LIB = Package("app", "amd64", "1"), Package("lib", "amd64", "1")


def members() -> List[str]:
    return sorted(name for name, value in vars(Backend).items() if callable(value) and not name.startswith("_"))


@pytest.mark.parametrize("kind", [Apt, Dnf4, Dnf5])
def test_every_member_without_a_default_is_implemented(kind: Type[Backend]) -> None:
    """A member of a Protocol that a class inherits has no body: it would return None at run time."""
    left_out = {name for name in members() if getattr(kind, name) is getattr(Backend, name)}
    assert left_out == {name for name, kinds in OPTIONAL.items() if kind not in kinds}


def test_every_member_says_what_it_returns() -> None:
    assert [name for name in members() if not (getattr(Backend, name).__doc__ or "").strip()] == []


def test_a_mark_that_cannot_be_set_keeps_no_other_one_from_being_set() -> None:
    done: List[Tuple[str, ...]] = []

    def mark(packages: Sequence[Package], word: str) -> None:
        if word in failures:
            raise failures[word]
        done.append((word, *(package.name for package in packages)))

    failures = {"group": PackageError("no group has app"), "weak": CommandFailed("apt-mark ended with exit status 1")}
    assert set_marks(mark, {"group": [APP], "auto": [APP, LIB], "weak": [LIB], "manual": []}) == (
        "not every package got the mark 'group': no group has app",
        "not every package got the mark 'weak': apt-mark ended with exit status 1",
    )
    assert done == [("auto", "app", "lib"), ("manual",)]


def test_a_lock_that_is_held_is_no_matter_of_marks() -> None:
    def mark(packages: Sequence[Package], word: str) -> None:
        raise Busy("held")

    with pytest.raises(Busy):
        set_marks(mark, {"auto": [APP]})
