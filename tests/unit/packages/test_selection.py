"""Which updates are asked for, and why the others are not."""

from typing import Optional, Tuple

import pytest

from os_update_agent.model.packages import Change, HeldBack, Package, Selection
from os_update_agent.packages.selection import choose, matching, reason_against, unmatched


def update(name: str, *, is_security: bool = False) -> Change:
    return Change(Package(name, "amd64", "1"), Package(name, "amd64", "2"), is_security=is_security)


NGINX, KERNEL, SSL = (
    update("nginx"),
    update("linux-image-6.1.0-40-amd64"),
    update("libssl3", is_security=True),
)
EVERYTHING = (NGINX, KERNEL, SSL)


def names(selection: Selection) -> Tuple[str, ...]:
    return tuple(change.name for change in choose(EVERYTHING, selection)[0])


def test_all_is_everything() -> None:
    assert choose(EVERYTHING, Selection()) == (EVERYTHING, ())


@pytest.mark.parametrize(("selection", "chosen"), [
    (Selection(packages=("nginx",)), ("nginx",)),
    (Selection(packages=("nginx", "lib*")), ("nginx", "libssl3")),
    (Selection(exclude=("linux-image-*",)), ("nginx", "libssl3")),
    (Selection(packages=("*",), exclude=("nginx",)), ("linux-image-6.1.0-40-amd64", "libssl3")),
    (Selection(packages=("nginx",), exclude=("nginx",)), ()),
    (Selection(security=True), ("libssl3",)),
    (Selection(security=True, exclude=("libssl*",)), ()),
    (Selection(packages=("NGINX",)), ()),
    (Selection(packages=("ngin",)), ()),
    (Selection(packages=("[nl]?[gn]*",)), ("linux-image-6.1.0-40-amd64",)),
])  # fmt: skip
def test_globs_include_and_exclude_and_exclusion_wins(selection: Selection, chosen: Tuple[str, ...]) -> None:
    assert names(selection) == chosen


def test_a_glob_that_no_installed_package_matches_is_told() -> None:
    gone = Package("gone", "amd64", "1", status="config-files")
    selection = Selection(packages=("ngnix", "nginx", "lib*", "libssl3:i386", "gone"), exclude=("zzz",))
    assert unmatched([*(change.package for change in EVERYTHING), gone], selection) == ("ngnix", "libssl3:i386", "gone")
    assert unmatched([gone], Selection()) == ()


def test_everything_left_out_is_held_back_with_the_option_that_did_it() -> None:
    _, held = choose(EVERYTHING, Selection(packages=("nginx", "linux-*"), exclude=("linux-*",)))
    assert held == (
        HeldBack("linux-image-6.1.0-40-amd64", "excluded by 'linux-*' (exclude)"),
        HeldBack("libssl3", "not selected (packages)"),
    )
    assert choose([NGINX], Selection(security=True))[1] == (
        HeldBack("nginx", "not a security update (select: security)"),
    )


@pytest.mark.parametrize(
    ("before", "after"), [(None, Package("new", "amd64", "1")), (Package("old", "amd64", "1"), None)]
)
def test_what_would_come_or_go_is_not_an_update_that_is_held_back(
    before: Optional[Package], after: Optional[Package]
) -> None:
    assert choose([Change(before, after)], Selection(packages=("nginx",))) == ((), ())


def test_a_name_is_matched_as_a_whole_and_by_the_first_glob() -> None:
    libssl = Package("libssl3", "amd64", "3.0")
    assert matching(libssl, ("lib", "libssl?", "lib*")) == "libssl?"
    assert matching(libssl, ()) is None


def test_a_glob_with_a_colon_names_an_architecture() -> None:
    libssl = Package("libssl3", "amd64", "3.0")
    assert matching(libssl, ("libssl3:i386", "libssl3:amd*")) == "libssl3:amd*"
    assert matching(libssl, ("libssl3:i386",)) is None


def test_a_reason_is_none_for_what_is_asked_for() -> None:
    assert reason_against(NGINX, Selection(packages=("nginx",))) is None
