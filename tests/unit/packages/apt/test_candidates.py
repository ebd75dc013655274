"""Which updates apt can do together: a made-up apt that knows what it can and cannot do."""

from typing import Dict, FrozenSet, List, Sequence, Tuple

import pytest

from os_update_agent.model.errors import PackageError
from os_update_agent.model.packages import HeldBack, Package, PackageState, Selection
from os_update_agent.packages.apt.candidates import EXPLAINED, candidates
from os_update_agent.packages.apt.parse import Simulated, Simulation

STABLE, SECURITY = ("Debian:12.9/stable",), ("Debian-Security:12/stable-security",)


class Apt:
    """Updates 1 -> 2 of ``names``.

    ``kept`` and ``deferred`` stay out of dist-upgrade; what is in ``impossible`` fails with its reason, alone or with
    others; each of the sets in ``conflicts`` fails when it is asked for as a whole; ``brings`` and ``removes`` is what
    comes and goes with a name.
    """

    def __init__(self, *names: str) -> None:
        self.names = names
        self.kept: Tuple[str, ...] = ()
        self.deferred: Tuple[str, ...] = ()
        self.impossible: Dict[str, str] = {}
        self.conflicts: List[FrozenSet[str]] = []
        self.brings: Dict[str, str] = {}
        self.removes: Dict[str, str] = {}
        self.security: Tuple[str, ...] = ()
        self.refused = ""
        self.calls: List[Tuple[Tuple[str, ...], str]] = []

    def __call__(self, *arguments: str, preferences: str = "") -> Simulation:
        self.calls.append((arguments, preferences))
        if self.refused and "dist-upgrade" in arguments and "--allow-downgrades" not in arguments:
            raise PackageError(self.refused)
        if arguments[-1] == "dist-upgrade":
            out = {*self.kept, *self.deferred}
            return self._simulation([name for name in self.names if name not in out], self.kept, self.deferred)
        assert arguments[:2] == ("install", "--only-upgrade")
        asked = [argument.partition("=")[0].partition(":")[0] for argument in arguments[2:]]
        for name in asked:
            if name in self.impossible:
                raise PackageError(self.impossible[name])
        for conflict in self.conflicts:
            if conflict <= set(asked):
                raise PackageError(f"{' and '.join(sorted(conflict))} do not go together")
        return self._simulation(asked)

    def _simulation(
        self, asked: Sequence[str], kept: Tuple[str, ...] = (), deferred: Tuple[str, ...] = ()
    ) -> Simulation:
        lines = []
        for name in asked:
            lines.append(Simulated(name, "", "2", "amd64", SECURITY if name in self.security else STABLE))
            if name in self.brings:
                lines.append(Simulated(self.brings[name], "", "2", "amd64", STABLE))
            if name in self.removes:
                lines.append(Simulated(self.removes[name], "", None))
        return Simulation(tuple(lines), kept, deferred)

    @property
    def installations(self) -> List[Tuple[str, ...]]:
        return [arguments[2:] for arguments, _ in self.calls if arguments[0] == "install"]


def state(*names: str, held: Sequence[str] = ()) -> PackageState:
    rows = [Package(name, "amd64", "1", want="hold" if name in held else "install") for name in names]
    return PackageState("apt", "amd64", tuple(sorted(rows)))


def found(
    apt: Apt, selection: Selection, *, held: Sequence[str] = (), also: Sequence[str] = ()
) -> Tuple[List[str], Dict[str, str]]:
    changes, held_back = candidates(apt, state(*apt.names, *also, held=held), selection)
    assert list(held_back) == sorted(held_back) or selection.is_everything
    return [change.name for change in changes], {item.name: item.reason for item in held_back}


EVERYTHING = Selection()
ALL_BUT_NO_REMOVALS = Selection(removals=False)
LETTERS = tuple("abcdefghijklmnop")


def test_everything_is_one_simulation() -> None:
    apt = Apt("a", "b")
    assert found(apt, EVERYTHING) == (["a", "b"], {})
    assert apt.calls == [(("dist-upgrade",), "")]


def test_everything_has_what_comes_and_goes_with_it() -> None:
    apt = Apt("a")
    apt.brings, apt.removes = {"a": "new"}, {"a": "old"}
    assert found(apt, EVERYTHING, also=["old"])[0] == ["a", "new", "old"]


def test_a_selection_is_asked_for_by_exact_version_and_brings_what_it_needs() -> None:
    apt = Apt("a", "b")
    apt.brings = {"a": "new"}
    chosen, held_back = found(apt, Selection(packages=("a",)))
    assert chosen == ["a", "new"]
    assert held_back == {"b": "not selected (packages)"}
    assert set(apt.installations) == {("a:amd64=2",)}


def test_what_comes_along_is_not_held_back_at_the_same_time() -> None:
    apt = Apt("a", "b")
    apt.brings = {"a": "b"}
    assert found(apt, Selection(packages=("a",))) == (["a", "b"], {})


def test_a_selection_of_nothing_changes_nothing() -> None:
    apt = Apt("a", "b")
    assert found(apt, Selection(packages=("zzz",))) == (
        [],
        {"a": "not selected (packages)", "b": "not selected (packages)"},
    )
    assert apt.installations == []


def test_excluded_names_cannot_come_as_dependencies_either() -> None:
    apt = Apt("a", "b")
    found(apt, Selection(exclude=("b", "lib*")))
    assert next(preferences for arguments, preferences in apt.calls if arguments[0] == "install") == (
        "Package: b lib*\nPin: release *\nPin-Priority: -1"
    )


def test_security_prefers_the_security_archive_in_all_simulations() -> None:
    apt = Apt("a", "b")
    apt.security = ("a",)
    assert found(apt, Selection(security=True)) == (["a"], {"b": "not a security update (select: security)"})
    assert all("Pin: release l=Debian-Security" in preferences for _, preferences in apt.calls)


@pytest.mark.parametrize("guilty", [("a",), ("h",), ("p",), ("a", "p"), ("c", "d", "i"), LETTERS])
def test_halving_finds_the_guilty_and_keeps_the_others(guilty: Tuple[str, ...]) -> None:
    apt = Apt(*LETTERS)
    apt.impossible = {name: f"Depends: {name}-data but it is not installable" for name in guilty}
    chosen, held_back = found(apt, ALL_BUT_NO_REMOVALS)
    assert chosen == [name for name in LETTERS if name not in guilty]
    assert held_back == {name: f"Depends: {name}-data but it is not installable" for name in guilty}


def test_one_guilty_of_many_costs_few_simulations() -> None:
    names = [f"package{number:03}" for number in range(256)]
    apt = Apt(*names)
    apt.impossible = {"package100": "no"}
    chosen, held_back = found(apt, ALL_BUT_NO_REMOVALS)
    assert (len(chosen), held_back) == (255, {"package100": "no"})
    assert len(apt.installations) <= 2 * 8 + 2


def test_of_two_that_do_not_go_together_the_later_stays_back() -> None:
    apt = Apt(*LETTERS)
    apt.conflicts = [frozenset("bk")]
    chosen, held_back = found(apt, ALL_BUT_NO_REMOVALS)
    assert chosen == [name for name in LETTERS if name != "k"]
    assert held_back == {"k": "b and k do not go together"}


def test_what_would_remove_something_stays_back_where_removals_are_refused() -> None:
    apt = Apt("a", "b")
    apt.removes = {"b": "old"}
    assert found(apt, ALL_BUT_NO_REMOVALS, also=["old"]) == (["a"], {"b": "would remove old (removals: refuse)"})
    assert found(apt, Selection(packages=("b",)), also=["old"])[0] == ["b", "old"]


def test_a_package_on_hold_is_named_so() -> None:
    apt = Apt("a", "b")
    apt.kept = ("b",)
    assert found(apt, EVERYTHING, held=["b"]) == (["a"], {"b": "on hold"})
    assert apt.installations == []


def test_a_phased_update_is_named_so() -> None:
    apt = Apt("a", "b")
    apt.deferred = ("b",)
    assert found(apt, EVERYTHING) == (["a"], {"b": "phased: the archive offers this update to some nodes first"})


def test_a_package_on_hold_that_is_phased_is_on_hold() -> None:
    apt = Apt("a", "b")
    apt.deferred = ("b",)
    assert found(apt, EVERYTHING, held=["b"])[1] == {"b": "on hold"}


def test_what_apt_keeps_back_is_asked_for_alone_to_learn_why() -> None:
    apt = Apt("a", "b", "c", "d")
    apt.kept, apt.impossible, apt.removes = ("b", "c", "d"), {"b": "Depends: x but it is not installable"}, {"c": "old"}
    assert found(apt, EVERYTHING, also=["old"]) == (["a"], {
        "b": "Depends: x but it is not installable",
        "c": "would remove old",
        "d": "apt keeps it back",
    })  # fmt: skip


def test_of_many_kept_back_only_the_first_are_asked_for() -> None:
    names = [f"p{number:02}" for number in range(EXPLAINED + 5)]
    apt = Apt("a", *names)
    apt.kept, apt.impossible = tuple(names), {name: "why" for name in names}
    _, held_back = found(apt, EVERYTHING)
    assert list(held_back.values()) == ["why"] * EXPLAINED + ["apt keeps it back"] * 5
    assert len(apt.installations) == EXPLAINED


def test_what_is_kept_back_and_not_asked_for_is_left_out_by_the_option() -> None:
    apt = Apt("a", "b", "c")
    apt.kept = ("b", "c")
    assert found(apt, Selection(packages=("a", "c"), exclude=("c",)), held=["b"])[1] == {
        "b": "not selected (packages)",
        "c": "excluded by 'c' (exclude)",
    }


def test_a_foreign_package_that_is_kept_back_is_named_with_its_architecture() -> None:
    apt = Apt("a")
    apt.kept = ("libc6:i386",)
    rows = PackageState("apt", "amd64", (Package("a", "amd64", "1"), Package("libc6", "i386", "1", want="hold")))
    assert candidates(apt, rows, EVERYTHING)[1] == (HeldBack("libc6:i386", "on hold"),)


def test_an_apt_that_cannot_plan_at_all_is_an_error() -> None:
    def simulate(*arguments: str, preferences: str = "") -> Simulation:
        raise PackageError("the package lists are damaged")

    with pytest.raises(PackageError, match="damaged"):
        candidates(simulate, state("a"), EVERYTHING)


def test_what_apt_refuses_without_being_asked_stays_back_and_the_others_are_updated() -> None:
    apt = Apt("app", "tool", "lib")
    apt.refused = apt.impossible["tool"] = "Packages were downgraded and -y was used without --allow-downgrades."
    assert found(apt, Selection()) == (["app", "lib"], {"tool": apt.refused})
