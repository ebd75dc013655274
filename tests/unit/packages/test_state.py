"""From one package state to another, and whether it has been reached. Pure."""

from typing import FrozenSet, Optional, Tuple

import pytest

from os_update_agent.model.packages import Aftercare, Change, Package, PackageState, Transaction, diff, with_rows
from os_update_agent.packages.state import (
    aftercare,
    as_recorded,
    broken,
    expected,
    of_marks,
    of_unknown_builds,
    overlaid,
    reholds,
    remarks,
    sound,
    touched_by,
    transaction,
    unmet,
    visible,
)

APP1, APP2 = Package("app", "amd64", "1.0-1"), Package("app", "amd64", "2.0-1")
LIB = Package("libapp1", "amd64", "1.0-1", mark="auto")
HELD = Package("held", "amd64", "1.0-1", want="hold")
LEFT = Package("left", "amd64", "1.0-1", status="config-files", want="deinstall")
FOREIGN1, FOREIGN2 = Package("libc6", "i386", "1"), Package("libc6", "i386", "2")
NATIVE1, NATIVE2 = Package("libc6", "amd64", "1"), Package("libc6", "amd64", "2")
ALL, ANY = Package("turns", "all", "1.0-1"), Package("turns", "amd64", "2.0-1")


def state(*packages: Package, backend: str = "apt", native: str = "amd64") -> PackageState:
    return PackageState(backend, native, tuple(sorted(packages)))


def ways(changes: "Tuple[Change, ...]") -> "Tuple[Tuple[Optional[Package], Optional[Package]], ...]":
    return tuple((change.before, change.after) for change in changes)


# --- digest


def test_the_digest_does_not_depend_on_the_order_of_rows_or_on_how_they_came() -> None:
    assert PackageState("apt", "amd64", (LIB, APP1)).digest == state(APP1, LIB).digest
    assert PackageState.of_lines("apt", "amd64", state(APP1, LIB).lines) == state(APP1, LIB)


@pytest.mark.parametrize("other", [
    APP2,
    APP1._replace(arch="i386"),
    APP1._replace(mark="auto"),
    APP1._replace(want="hold"),
    APP1._replace(status="half-configured"),
    APP1._replace(flag="reinstreq"),
    APP1._replace(digest="ab12"),
])  # fmt: skip
def test_everything_in_a_row_counts_for_the_digest(other: Package) -> None:
    assert state(other).digest != state(APP1).digest
    assert PackageState.of_lines("apt", "amd64", state(other).lines) == state(other)


def test_a_short_row_says_all() -> None:
    assert APP1.row() == ["app", "amd64", "1.0-1"]
    assert LIB.row() == ["libapp1", "amd64", "1.0-1", "installed", "install", "ok", "auto"]
    assert [Package(*package.row()) for package in (APP1, LIB, HELD, LEFT)] == [APP1, LIB, HELD, LEFT]


# --- diff


def test_equal_states_have_no_difference() -> None:
    assert diff(state(APP1, LIB), state(LIB, APP1)) == ()


def test_a_new_version_a_coming_and_a_going_package_are_one_change_each() -> None:
    changes = diff(state(APP1, LIB), state(APP2, HELD))
    assert ways(changes) == ((APP1, APP2), (None, HELD), (LIB, None))
    assert [change.kind for change in changes] == ["change", "install", "remove"]


def test_marks_and_holds_are_differences() -> None:
    assert ways(diff(state(LIB), state(LIB._replace(mark="manual")))) == ((LIB, LIB._replace(mark="manual")),)
    assert ways(diff(state(HELD), state(HELD._replace(want="install")))) == ((HELD, HELD._replace(want="install")),)


def test_the_same_name_of_two_architectures_is_two_packages() -> None:
    assert ways(diff(state(NATIVE1, FOREIGN1), state(NATIVE2, FOREIGN1))) == ((NATIVE1, NATIVE2),)
    assert ways(diff(state(NATIVE1, FOREIGN1), state(NATIVE1))) == ((FOREIGN1, None),)


def test_a_package_that_turns_from_all_to_native_is_one_change() -> None:
    assert ways(diff(state(ALL), state(ANY))) == ((ALL, ANY),)
    assert ways(diff(state(ANY), state(ALL))) == ((ANY, ALL),)


def test_kernels_that_share_a_name_come_and_go_by_version() -> None:
    one, two, three = (Package("kernel", "x86_64", version) for version in ("5.14.0-1", "5.14.0-2", "5.14.0-3"))
    before, after = state(one, two, native="x86_64", backend="dnf"), state(two, three, native="x86_64", backend="dnf")
    assert ways(diff(before, after)) == ((one, None), (None, three))
    assert ways(diff(state(one, native="x86_64"), before)) == ((None, two),)
    assert ways(diff(before, state(native="x86_64"))) == ((one, None), (two, None))
    marked = two._replace(mark="auto")
    assert ways(diff(before, state(one, marked, native="x86_64"))) == ((two, marked),)


@pytest.mark.parametrize(("before", "after"), [
    (state(APP1, LIB, LEFT), state(APP2, HELD)),
    (state(ALL, NATIVE1, FOREIGN1), state(ANY, FOREIGN2)),
    (state(), state(APP1)),
])  # fmt: skip
def test_the_difference_leads_from_one_state_to_the_other(before: PackageState, after: PackageState) -> None:
    assert with_rows(before, diff(before, after)) == after
    assert with_rows(after, diff(after, before)) == before


# --- expected


def test_an_update_is_expected_to_leave_the_configuration_of_what_it_removes() -> None:
    changes = (Change(APP1, APP2), Change(LIB, None), Change(None, HELD))
    left = Package("libapp1", "amd64", "1.0-1", status="config-files", want="deinstall")
    assert expected(state(APP1, LIB, NATIVE1), changes) == state(APP2, HELD, NATIVE1, left)


@pytest.mark.parametrize("after", [(), (LIB._replace(status="config-files", want="deinstall", mark="manual"),)])
def test_a_removed_package_is_met_with_and_without_left_over_configuration(after: Tuple[Package, ...]) -> None:
    target = expected(state(APP1, LIB), [Change(LIB, None)])
    assert unmet(state(APP1, *after), target) == ()


# --- visible


def test_visible_changes_are_changes_of_versions() -> None:
    held = HELD._replace(want="install")
    changes = (
        Change(APP1, APP2, ("Debian:12/stable",)),
        Change(LIB, LIB._replace(mark="manual")),
        Change(HELD, held),
        Change(LEFT, None),
    )
    assert ways(visible(changes)) == ((APP1, APP2),)
    assert visible(changes)[0].origins == ("Debian:12/stable",)


def test_from_left_over_configuration_to_installed_is_an_installation() -> None:
    back = Package("left", "amd64", "1.0-1")
    assert ways(visible([Change(LEFT, back)])) == ((None, back),)
    assert ways(visible([Change(back, LEFT)])) == ((back, None),)


# --- transaction


def test_nothing_to_do_is_an_empty_transaction() -> None:
    assert transaction(state(APP1), state(APP1)) == Transaction()
    assert transaction(state(LIB), state(LIB._replace(mark="manual"))) == Transaction()


def test_what_comes_what_changes_and_what_goes() -> None:
    assert transaction(state(APP1, LIB), state(APP2, HELD)) == Transaction(
        install=(APP2, HELD), remove=(LIB,), purge=(LIB,)
    )


def test_a_package_whose_configuration_is_to_stay_is_removed_and_not_purged() -> None:
    assert transaction(state(LEFT._replace(status="installed", want="install")), state(LEFT)) == Transaction(
        remove=(Package("left", "amd64", "1.0-1"),)
    )


def test_left_over_configuration_that_was_not_there_is_purged() -> None:
    assert transaction(state(APP1, LEFT), state(APP1)) == Transaction(purge=(LEFT,))


def test_lost_left_over_configuration_cannot_be_brought_back() -> None:
    assert transaction(state(APP1), state(APP1, LEFT)) == Transaction()
    assert unmet(state(APP1), state(APP1, LEFT)) == ()


def test_a_switch_of_architecture_is_an_installation_and_no_removal() -> None:
    assert transaction(state(ALL), state(ANY)) == Transaction(install=(ANY,))
    same = ANY._replace(version=ALL.version)
    assert transaction(state(same), state(ALL)) == Transaction(install=(ALL,))


def test_a_foreign_package_is_its_own() -> None:
    assert transaction(state(NATIVE1, FOREIGN1), state(NATIVE2, FOREIGN2)) == Transaction(install=(NATIVE2, FOREIGN2))
    assert transaction(state(NATIVE1, FOREIGN1), state(NATIVE1)) == Transaction(remove=(FOREIGN1,), purge=(FOREIGN1,))


@pytest.mark.parametrize(
    "torn", [APP1._replace(status="half-installed"), APP1._replace(status="unpacked", flag="reinstreq")]
)
def test_a_half_installed_package_is_unpacked_and_installed_again(torn: Package) -> None:
    assert transaction(state(torn), state(APP1)) == Transaction(install=(APP1,), torn=(APP1,), mends=True)


@pytest.mark.parametrize("status", ["unpacked", "half-configured", "triggers-pending", "triggers-awaited"])
def test_an_unconfigured_package_is_configured(status: str) -> None:
    assert transaction(state(APP1._replace(status=status)), state(APP1)) == Transaction(configures=True, mends=True)


def test_a_broken_package_that_changes_its_version_is_simply_replaced() -> None:
    assert transaction(state(APP2._replace(status="half-configured")), state(APP1)) == Transaction(
        install=(APP1,), mends=True
    )


# --- unmet, marks, holds


@pytest.mark.parametrize("now", [
    state(),
    state(APP2),
    state(APP1._replace(status="unpacked")),
    state(APP1._replace(mark="auto")),
    state(APP1._replace(want="hold")),
    state(APP1, LIB),
])  # fmt: skip
def test_what_differs_is_unmet(now: PackageState) -> None:
    assert len(unmet(now, state(APP1))) == 1


def test_what_differs_in_its_mark_and_in_nothing_else() -> None:
    other = APP1._replace(mark="group")
    changes = [
        (APP1, other),
        (LIB, None),
        (None, LIB),
        (APP2, other),
        (HELD, HELD._replace(want="install", mark="auto")),
    ]
    assert ways(of_marks(Change(*change) for change in changes)) == ((APP1, other),)


OLD, NEW = APP1._replace(digest="ab"), APP1._replace(digest="sha256header:fe,sigmd5:ab")


def test_a_build_that_an_older_agent_has_recorded_by_its_sigmd5_is_still_the_same() -> None:
    then, now = state(OLD, LIB), state(NEW, LIB)
    assert diff(then, now) == () and unmet(now, then) == () and touched_by(then, now) == frozenset()
    assert as_recorded(now, then).digest == then.digest != now.digest


@pytest.mark.parametrize("other", ["sha256header:be,sigmd5:cd", "sha256header:fe", "cd"])
def test_another_build_than_the_recorded_one_is_installed_again(other: str) -> None:
    then, now = state(OLD, LIB), state(NEW._replace(digest=other), LIB)
    assert ways(visible(diff(now, then))) == ((now.packages[0], OLD),)
    assert transaction(now, then).install == (OLD,) and transaction(now, then).reinstalls
    assert unmet(now, then) and as_recorded(now, then).digest != then.digest


def test_a_package_without_a_recorded_build_is_named() -> None:
    then = state(APP1, OLD._replace(name="lib"), LEFT)
    assert of_unknown_builds(then) == (APP1,)
    assert unmet(state(NEW), state(APP1)) == ()


def test_the_mark_of_a_package_whose_digest_was_not_known_when_it_was_planned() -> None:
    there, planned = APP1._replace(digest="ab12"), APP1._replace(mark="auto")
    assert ways(of_marks([Change(there, planned)])) == ((there, planned),)
    assert of_marks([Change(there, planned._replace(digest="cd34"))]) == ()


def test_left_over_configuration_that_should_be_gone_is_unmet() -> None:
    assert ways(unmet(state(APP1, LEFT), state(APP1))) == ((LEFT, None),)


def test_marks_that_have_to_change_by_the_mark_that_they_get() -> None:
    now = state(APP2._replace(mark="auto"), LIB._replace(mark="manual"), HELD)
    target = state(APP1, LIB, HELD)
    assert remarks(now, target) == {"manual": (APP1,), "auto": (LIB,)}


def test_packages_that_are_not_there_on_both_sides_get_no_mark_and_no_hold() -> None:
    now, target = state(LEFT, APP1), state(LEFT._replace(status="installed", mark="auto", want="hold"), LIB)
    assert remarks(now, target) == {}
    assert reholds(now, target) == ()


def test_holds_that_have_to_change_as_they_have_to_be() -> None:
    now = state(HELD._replace(want="install"), APP1._replace(want="hold"))
    assert reholds(now, state(HELD, APP1)) == (APP1, HELD)


# --- overlaid


def test_only_touched_places_are_put_back() -> None:
    now, recorded = state(APP2, LIB._replace(version="9"), HELD), state(APP1, LIB, NATIVE1)
    touched: FrozenSet[Tuple[str, str]] = frozenset({("app", "")})
    assert overlaid(now, recorded, touched) == state(APP1, LIB._replace(version="9"), HELD)


def test_what_came_into_a_touched_place_goes_and_what_went_comes_back() -> None:
    touched = touched_by(state(APP1, LIB), state(APP1, HELD))
    assert touched == {("libapp1", ""), ("held", "")}
    assert overlaid(state(APP2, HELD), state(APP1, LIB), touched) == state(APP2, LIB)


def test_a_switch_of_architecture_touches_one_place() -> None:
    touched = touched_by(state(ALL), state(ANY))
    assert touched == {("turns", "")}
    assert overlaid(state(ANY), state(ALL), touched) == state(ALL)


def test_a_foreign_package_is_touched_alone() -> None:
    touched = touched_by(state(NATIVE1, FOREIGN1), state(NATIVE1, FOREIGN2))
    assert touched == {("libc6", "i386")}
    assert overlaid(state(NATIVE2, FOREIGN2), state(NATIVE1, FOREIGN1), touched) == state(NATIVE2, FOREIGN1)


# --- broken, sound


def test_broken_is_what_is_there_and_not_whole() -> None:
    torn = APP1._replace(status="half-installed", flag="reinstreq")
    assert broken(state(torn, LIB, LEFT)) == (torn,)
    assert sound(state(torn, LIB, LEFT)) == state(APP1, LIB, LEFT)


# --- aftercare


def test_only_what_has_left_its_configuration_is_purged() -> None:
    gone, there = Package("gone", "amd64", "1"), APP1._replace(mark="auto", want="hold")
    care = aftercare(state(LEFT, there), state(APP1), (LEFT, gone, there))
    assert care == Aftercare((LEFT,), {"manual": (APP1,)}, (APP1,))


def test_between_two_states_of_rpm_only_marks_are_put_right() -> None:
    """Their rows have neither holds nor left-over configuration, so an rpm backend leaves out nothing of it."""
    old, new = Package("app", "x86_64", "1-1", mark="auto"), Package("app", "x86_64", "1-1")
    other = Package("other", "x86_64", "1-1")
    care = aftercare(
        state(old, backend="dnf", native="x86_64"), state(new, backend="dnf", native="x86_64"), (other, old)
    )
    assert care == Aftercare((), {"manual": (new,)}, ())
