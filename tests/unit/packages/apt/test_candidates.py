"""Which updates apt can do together: a made-up apt that knows what it can and cannot do."""

from typing import Dict, FrozenSet, List, Sequence, Tuple

import pytest

from os_update_agent.model.errors import PackageError
from os_update_agent.model.packages import HeldBack, Package, PackageState, Selection
from os_update_agent.packages.apt.candidates import candidates
from os_update_agent.packages.apt.protocol import Attempted, Kept, Step, Update, Upgraded

STABLE, SECURITY = ("Debian:12.9/stable",), ("Debian-Security:12/stable-security",)


class Apt:
    """Updates 1 -> 2 of ``names``.

    ``kept`` stays out of an upgrade of everything, each with a reason, and may be tried where ``may_try`` has it; what
    is in ``impossible`` fails with its reason, alone or with others; each of the sets in ``conflicts`` fails when it is
    asked for as a whole; ``brings`` and ``removes`` is what comes and goes with a name.
    """

    def __init__(self, *names: str) -> None:
        self.names = names
        self.kept: Dict[str, str] = {}
        self.may_try: Tuple[str, ...] = ()
        self.impossible: Dict[str, str] = {}
        self.conflicts: List[FrozenSet[str]] = []
        self.brings: Dict[str, str] = {}
        self.removes: Dict[str, str] = {}
        self.security: Tuple[str, ...] = ()
        self.refused = ""
        self.attempts: List[Tuple[str, ...]] = []

    def upgrade(self) -> Upgraded:
        kept = [Kept(self._step(name), reason, name in self.may_try) for name, reason in self.kept.items()]
        return Upgraded(self._steps([name for name in self.names if name not in self.kept]), kept, self.refused)

    def attempt(self, base: Sequence[Update], updates: Sequence[Update]) -> Attempted:
        asked = [update.name for update in (*base, *updates)]
        self.attempts.append(tuple(asked))
        assert all(update.version == "2" for update in updates)
        for name in asked:
            if name in self.impossible:
                return Attempted([], self.impossible[name])
        for conflict in self.conflicts:
            if conflict <= set(asked):
                return Attempted([], f"{' and '.join(sorted(conflict))} do not go together")
        return Attempted(self._steps(asked), "")

    def _step(self, name: str) -> Step:
        name, _, foreign = name.partition(":")
        return Step(name, foreign, "2", foreign or "amd64", SECURITY if name in self.security else STABLE)

    def _steps(self, asked: Sequence[str]) -> List[Step]:
        steps = []
        for name in asked:
            steps.append(self._step(name))
            if name in self.brings:
                steps.append(Step(self.brings[name], "", "2", "amd64", STABLE))
            if name in self.removes:
                steps.append(Step(self.removes[name], "", None))
        return steps


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


def test_everything_is_one_plan() -> None:
    apt = Apt("a", "b")
    assert found(apt, EVERYTHING) == (["a", "b"], {})
    assert apt.attempts == []


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
    assert apt.attempts == [("a",)]


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
    assert apt.attempts == []


def test_security_takes_security_updates_alone() -> None:
    apt = Apt("a", "b")
    apt.security = ("a",)
    assert found(apt, Selection(security=True)) == (["a"], {"b": "not a security update (select: security)"})


@pytest.mark.parametrize("guilty", [("a",), ("h",), ("p",), ("a", "p"), ("c", "d", "i"), LETTERS])
def test_halving_finds_the_guilty_and_keeps_the_others(guilty: Tuple[str, ...]) -> None:
    apt = Apt(*LETTERS)
    apt.impossible = {name: f"Depends: {name}-data but it is not installable" for name in guilty}
    chosen, held_back = found(apt, ALL_BUT_NO_REMOVALS)
    assert chosen == [name for name in LETTERS if name not in guilty]
    assert held_back == {name: f"Depends: {name}-data but it is not installable" for name in guilty}


def test_one_guilty_of_many_costs_few_attempts() -> None:
    names = [f"package{number:03}" for number in range(256)]
    apt = Apt(*names)
    apt.impossible = {"package100": "no"}
    chosen, held_back = found(apt, ALL_BUT_NO_REMOVALS)
    assert (len(chosen), held_back) == (255, {"package100": "no"})
    assert len(apt.attempts) <= 2 * 8 + 2


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


def test_each_update_that_apt_leaves_out_is_held_back_with_its_reason() -> None:
    apt = Apt("a", "b")
    apt.kept = {"b": "on hold"}
    assert found(apt, EVERYTHING) == (["a"], {"b": "on hold"})
    assert apt.attempts == []


def test_what_is_kept_back_and_not_asked_for_is_left_out_by_the_option() -> None:
    apt = Apt("a", "b", "c")
    apt.kept = {"b": "on hold", "c": "app needs it"}
    assert found(apt, Selection(packages=("a", "c"), exclude=("c",)))[1] == {
        "b": "not selected (packages)",
        "c": "excluded by 'c' (exclude)",
    }


def test_a_security_update_that_is_kept_back_has_its_own_reason() -> None:
    apt = Apt("a")
    apt.kept, apt.security = {"a": "pinned: priority -1 in /etc/apt/preferences"}, ("a",)
    assert found(apt, Selection(security=True)) == ([], apt.kept)


def test_a_package_that_is_asked_for_by_name_is_tried_although_apt_leaves_it_out() -> None:
    apt = Apt("a", "b", "c")
    apt.kept, apt.may_try = {"b": "would remove old", "c": "on hold"}, ("b",)
    apt.removes = {"b": "old"}
    assert found(apt, Selection(packages=("b", "c")), also=["old"]) == (
        ["b", "old"],
        {"a": "not selected (packages)", "c": "on hold"},
    )
    assert found(apt, EVERYTHING, also=["old"]) == (["a"], apt.kept)
    refuse = Selection(packages=("b",), removals=False)
    assert found(apt, refuse, also=["old"])[1]["b"] == "would remove old (removals: refuse)"


def test_a_selected_package_that_an_update_of_everything_would_remove_is_reported() -> None:
    apt = Apt("new")
    apt.removes = {"new": "old"}
    assert found(apt, Selection(packages=("old",)), also=["old"]) == (
        [],
        {
            "new": "not selected (packages)",
            "old": "has no newer version, and apt would remove it in an update of everything",
        },
    )


def test_a_foreign_package_that_is_kept_back_is_named_with_its_architecture() -> None:
    apt = Apt("a")
    apt.kept = {"libc6:i386": "on hold"}
    rows = PackageState("apt", "amd64", (Package("a", "amd64", "1"), Package("libc6", "i386", "1", want="hold")))
    assert candidates(apt, rows, EVERYTHING)[1] == (HeldBack("libc6:i386", "on hold"),)


def test_an_apt_that_cannot_plan_at_all_is_an_error() -> None:
    class Damaged(Apt):
        def upgrade(self) -> Upgraded:
            raise PackageError("the package lists are damaged")

    with pytest.raises(PackageError, match="damaged"):
        candidates(Damaged(), state("a"), EVERYTHING)


def test_what_apt_refuses_stays_back_and_the_others_are_updated() -> None:
    apt = Apt("app", "tool", "lib")
    apt.refused = apt.impossible["tool"] = "would downgrade tool from 2 to 1"
    assert found(apt, Selection()) == (["app", "lib"], {"tool": apt.refused})
