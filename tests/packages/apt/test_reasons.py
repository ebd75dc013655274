"""Why apt does not update a package, in words for an operator."""

import re
import sys
from pathlib import Path

import pytest

from os_update_agent.model.errors import PackageError
from os_update_agent.packages.apt import repositories
from os_update_agent.testing.repository import native_architecture
from packages.apt.index import Index

PHASED = "phased: the archive offers this update to 0% of the nodes so far"
MACHINE = 'APT::Machine-ID "0123456789abcdef0123456789abcdef";\n'


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path)


# --- pins


def test_a_pin_is_named_with_its_number_and_its_file(index: Index) -> None:
    for name in ("app", "lib", "tool", "free"):
        index.install(name)
        index.offer(name, suite="demo-security" if name == "app" else "demo")
    one = index.prefer(
        "Package: app\nPin: version 2*\nPin-Priority: -1\n\nPackage: t*l\nPin: release *\nPin-Priority: -10\n"
    )
    two = index.prefer("Explanation: no\n# no\nPackage: lib\nPin: version 1\nPin-Priority: 1001\n", "preferences")
    assert index.plan() == (
        {"free": "2"},
        {
            "app": f"pinned: priority -1 in {one}",
            "lib": f"pinned: priority 1001 in {two}",
            "tool": f"pinned: priority -10 in {one}",
        },
    )
    assert index.plan(security=True)[1]["app"] == f"pinned: priority -1 in {one}"


def test_a_pin_of_a_whole_release_is_named_for_a_security_update_only(index: Index) -> None:
    for name in ("app", "lib"):
        index.install(name)
        index.offer(name, suite="demo-security" if name == "app" else "demo")
    path = index.prefer("Package: *\nPin: release l=Demo\nPin-Priority: 50\n")
    assert index.plan() == ({}, {"app": f"pinned: priority 50 in {path}"})


def test_a_pin_is_named_although_a_repository_for_requests_has_a_newer_version(index: Index) -> None:
    index.install("app")
    index.install("tool")
    index.offer("app")
    for name in ("app", "tool"):
        index.offer(name, "1")
        index.offer(name, "3", suite="demo-backports")
    path = index.prefer("Package: app\nPin: version 2\nPin-Priority: -1\n")
    assert index.plan() == ({}, {"app": f"pinned: priority -1 in {path}"})


def test_a_release_that_the_node_prefers_keeps_security_updates_back_and_is_named(index: Index) -> None:
    index.install("app")
    index.offer("app", "1")
    index.offer("app", suite="demo-security")
    index.settings('APT::Default-Release "demo";\n')
    why = "APT::Default-Release is 'demo': apt prefers the installed version (priority 990 against 500)"
    assert index.plan() == ({}, {"app": why})


@pytest.mark.parametrize(
    ("text", "priority"),
    [
        ("Package: src:fo*\nPin: version 2\nPin-Priority: -1\n", -1),
        ("Package: app\nPin: version 2\nPin-Priority: -32768\n", -32767),
        ("Package: *\nPin: release a=demo-security\nPin-Priority: never\n", -32768),
    ],
)
def test_each_form_of_a_pin_is_named(index: Index, text: str, priority: int) -> None:
    index.install("app", Source="foo (3)")
    index.offer("app", Source="foo (4)", suite="demo-security")
    # apt reads no hidden file.
    index.prefer("Package: app\nPin: version 2\nPin-Priority: -1\n", "preferences.d/.hidden")
    path = index.prefer(text, "preferences.d/a:b")
    assert index.plan() == ({}, {"app": f"pinned: priority {priority} in {path}"})


# --- holds


def test_a_hold_is_named(index: Index) -> None:
    index.install("app", held=True)
    index.offer("app")
    assert index.plan() == ({}, {"app": "on hold"})
    assert index.plan(packages=["app"]) == ({}, {"app": "on hold"})


def test_an_update_that_needs_a_package_on_hold_names_both(index: Index) -> None:
    index.install("lib", held=True)
    index.offer("lib")
    index.install("mid", Depends="lib")
    index.offer("mid", Depends="lib (>= 2)")
    index.install("app", Depends="mid")
    index.offer("app", Depends="mid (>= 2)")
    why = "mid needs lib (>= 2), which is on hold at 1"
    assert index.plan() == ({}, {"app": f"app needs mid (>= 2), and {why}", "lib": "on hold", "mid": why})


def test_a_package_that_one_on_hold_needs_as_it_is_names_the_dependent(index: Index) -> None:
    index.install("bind9-host", held=True, Depends="bind9-libs (= 1)")
    index.install("bind9-libs")
    for name, needs in (("bind9-host", "bind9-libs (= 2)"), ("bind9-libs", "")):
        index.offer(name, **({"Depends": needs} if needs else {}))
    why = "bind9-host, which is on hold at 1, needs bind9-libs (= 1)"
    assert index.plan() == ({}, {"bind9-host": "on hold", "bind9-libs": why})


def test_a_conflict_with_a_package_on_hold_names_both(index: Index) -> None:
    index.install("old", held=True)
    index.install("app")
    index.offer("app", Conflicts="old")
    assert index.plan() == ({}, {"app": "app conflicts with old, which is on hold at 1"})


def test_a_package_on_hold_that_conflicts_with_the_new_version_is_named(index: Index) -> None:
    index.install("old", held=True, Breaks="app (>= 2)")
    index.install("app")
    index.offer("app")
    assert index.plan() == ({}, {"app": "old, which is on hold at 1, conflicts with app (>= 2)"})


@pytest.mark.parametrize("fields", [{"Conflicts": "old"}, {"Depends": "newer"}])
def test_a_new_package_that_conflicts_with_one_on_hold_is_named(index: Index, fields: "dict[str, str]") -> None:
    index.install("old", held=True)
    index.install("app")
    index.offer("app", Depends="newlib")
    index.offer("newlib", **fields)
    index.offer("newer", Breaks="old (<< 3)")
    why = (
        "newlib conflicts with old"
        if "Conflicts" in fields
        else "newlib needs newer, and newer conflicts with old (<< 3)"
    )
    why = f"app needs newlib, and {why}, which is on hold at 1"
    assert index.plan() == index.plan(packages=["app"]) == ({}, {"app": why})


def test_a_package_on_hold_is_named_besides_the_name_that_it_provides(index: Index) -> None:
    index.install("mail", held=True, Provides="mta (= 1)")
    index.offer("mail", Provides="mta (= 2)")
    index.install("app")
    index.offer("app", Depends="mta (>= 2)")
    index.install("tool")
    index.offer("tool", Conflicts="mta")
    held = "provided by mail, which is on hold at 1"
    assert index.plan() == (
        {},
        {
            "app": f"app needs mta (>= 2), {held}",
            "mail": "on hold",
            "tool": f"tool conflicts with mta, {held}",
        },
    )


def test_a_package_on_hold_that_means_a_provided_name_is_named(index: Index) -> None:
    index.install("one", held=True, Depends="api-1", Conflicts="api-2")
    index.install("lib", Provides="api-1")
    index.offer("lib", Provides="api-1, api-2")
    index.install("other", Provides="api-1")
    assert index.plan() == ({}, {"lib": "one, which is on hold at 1, conflicts with api-2, provided by lib"})


def test_a_package_on_hold_that_needs_a_provided_name_is_named(index: Index) -> None:
    index.install("one", held=True, Depends="api-1")
    index.install("lib", Provides="api-1")
    index.offer("lib")
    assert index.plan() == ({}, {"lib": "one, which is on hold at 1, needs api-1"})


# --- dependencies


@pytest.mark.parametrize(
    ("needs", "why"),
    [
        ("nowhere (>= 3)", "app needs nowhere (>= 3), which no repository has"),
        ("virtual", "app needs virtual, which no repository has"),
        ("lib (>= 3)", "app needs lib (>= 3), of which the newest version is 2"),
        ("lib (= 1)", "app needs lib (= 1), which gets version 2"),
        ("nowhere | lib (>= 3)", "app needs nowhere or lib (>= 3), which no repository has"),
    ],
)
def test_an_unmet_dependency_names_both_ends(index: Index, needs: str, why: str) -> None:
    index.install("app")
    index.install("lib")
    index.offer("lib")
    index.offer("app", Depends=f"lib, {needs}")
    index.install("before")
    index.offer("before", Pre_Depends=needs)
    changes, held = index.plan()
    if needs == "lib (= 1)" and "lib" not in changes:
        # apt 3.3 prefers the two others, and the library is the one that is kept back.
        assert set(changes) == {"app", "before"} and held == {"lib": "app 2 needs lib (= 1)"}
        return
    assert (changes, held) == ({"lib": "2"}, {"app": why, "before": why.replace("app", "before")})


@pytest.mark.parametrize("needs", ["nowhere | lib (>= 2)", "virtual", "new"])
def test_a_dependency_that_can_be_met_is_none(index: Index, needs: str) -> None:
    index.install("app")
    index.install("lib")
    index.offer("lib", Provides="virtual")
    index.offer("new")
    index.offer("app", Depends=needs)
    changes, held = index.plan()
    assert (changes["app"], held) == ("2", {})


def test_an_excluded_package_is_named_where_it_is_needed(index: Index) -> None:
    index.install("app")
    index.install("lib")
    index.offer("lib")
    index.offer("app", Depends="lib (>= 2)")
    why = "app needs lib (>= 2), which is excluded by 'l*' (exclude)"
    assert index.plan(exclude=["l*"]) == ({}, {"app": why, "lib": "excluded by 'l*' (exclude)"})


def test_an_update_that_would_remove_others_names_them(index: Index) -> None:
    index.install("app")
    index.install("old")
    index.install("wants-old", Depends="old")
    index.install("wants-too", Depends="old")
    index.offer("app", Conflicts="old")
    assert index.plan()[1] in ({"app": "would remove old, wants-old, wants-too"}, {})
    # Since apt 3.2 an update removes no package that was installed by hand, so the option has nothing to refuse.
    changes, held = index.plan(removals=False)
    assert changes == {} and list(held) == ["app"]
    assert held["app"] in (f"would remove old, wants-old, wants-too{why}" for why in ("", " (removals: refuse)"))


@pytest.mark.parametrize("length", [20, 60, 400])
def test_a_long_chain_of_packages_is_named_by_its_ends(index: Index, length: int) -> None:
    """apt's resolver gives up on the longer ones; that of apt 3.3 on none."""
    for number in range(length):
        index.install(f"p{number}")
        index.offer(f"p{number}", Depends=f"p{number + 1} (>= 2)")
    index.install(f"p{length}", held=True)
    index.offer(f"p{length}")
    end = f", and so on until p{length - 1} needs p{length} (>= 2), which is on hold at 1"
    try:
        reason = index.plan()[1]["p0"]
    except PackageError as error:
        assert length > 50
        assert re.fullmatch(r"apt finds no upgrade of everything: p\d+ needs .*", str(error))
        assert str(error).endswith(end)
    else:
        assert reason == f"p0 needs p1 (>= 2), and p1 needs p2 (>= 2), and p2 needs p3 (>= 2){end}"


# --- phasing


def test_a_phased_update_has_its_percentage_and_is_named_where_it_is_needed(index: Index) -> None:
    index.settings(MACHINE)
    index.install("app")
    index.install("lib")
    index.offer("lib", Phased_Update_Percentage="0")
    index.offer("app", Depends="lib (>= 2)")
    assert index.plan() == ({}, {"app": f"app needs lib (>= 2), which is {PHASED}", "lib": PHASED})
    index.settings(f'{MACHINE}APT::Get::Always-Include-Phased-Updates "true";\n')
    assert index.plan() == ({"app": "2", "lib": "2"}, {})


def test_a_phased_update_that_this_node_gets_is_not_held_back_beside_an_impossible_one(index: Index) -> None:
    names = [f"app{number}" for number in range(8)]
    index.settings(MACHINE)
    for name in names:
        index.install(name)
        index.offer(name, Phased_Update_Percentage="50", Source=f"source-{name}")
    index.install("essential", Essential="yes")
    index.install("bad")
    index.offer("bad", Conflicts="essential")
    changes, held = index.plan()
    assert 0 < len(changes) < len(names)
    assert index.plan(packages=["*"]) == (changes, held)


def test_a_record_of_another_encoding_does_not_stop_a_plan(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.settings(MACHINE)
    index.install("app")
    index.offer("app", Phased_Update_Percentage="0", Origin="B\xfcro")

    def write(path: Path, text: str, encoding: str) -> None:
        path.write_bytes(text.encode("latin-1"))

    monkeypatch.setattr(Path, "write_text", write)
    assert index.plan() == ({}, {"app": PHASED})


# --- packages that are named


def test_a_package_that_apt_would_remove_is_updated_when_it_is_named(index: Index) -> None:
    """Everything else wants it away; asked for by its name, apt updates it alone."""
    index.install("app", auto=True)
    index.install("big")
    index.offer("app")
    index.offer("big", Conflicts="app")
    everything, _ = index.plan()
    changes, held = index.plan(packages=["app"])
    assert changes == {"app": "2"} and held == {"big": "not selected (packages)"}
    assert everything in ({"app": "", "big": "2"}, {"app": "2"})


def test_a_package_without_a_newer_version_that_apt_would_remove_is_reported(index: Index) -> None:
    index.install("app", auto=True)
    index.install("big")
    index.offer("big", Conflicts="app", Replaces="app", Provides="app")
    assert index.plan()[0] == {"app": "", "big": "2"}
    changes, held = index.plan(packages=["app"])
    assert changes == {}
    assert held["app"] == "has no newer version, and apt would remove it in an update of everything"


def test_a_package_that_a_plan_keeps_back_is_updated_when_it_is_named(index: Index) -> None:
    index.install("app")
    index.install("old")
    index.install("wants-old", Depends="old")
    index.install("wants-too", Depends="old")
    index.offer("app", Conflicts="old")
    changes, _ = index.plan(packages=["app"])
    assert changes == {"app": "2", "old": "", "wants-old": "", "wants-too": ""}


# --- what makes a plan impossible


def test_a_missing_library_is_named_with_its_package(
    index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index.install("app")
    bare = tmp_path / "python3"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n', encoding="utf-8")
    bare.chmod(0o755)
    monkeypatch.setattr(repositories, "PYTHON", str(bare))
    with pytest.raises(PackageError, match=r"python3-apt, .* is missing \(apt-get install python3-apt\)"):
        index.plan()
    monkeypatch.setattr(repositories, "PYTHON", "/nonexistent/python3")
    with pytest.raises(PackageError, match=r"python3 is missing \(apt-get install python3-apt\)"):
        index.plan()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ('APT::Default-Release "nowhere";', "'nowhere' is invalid for APT::Default-Release"),
        ('APT::Solver "nosuch";', "APT::Solver is 'nosuch' in apt's configuration: "),
        ('Binary::apt-get::APT::Solver "nosuch";', "APT::Solver is 'nosuch' in apt's configuration: "),
        ('APT::Get::Nonsense "', "apt's configuration cannot be read: "),
    ],
)
def test_a_setting_that_makes_a_plan_impossible_is_named(index: Index, settings: str, why: str) -> None:
    index.install("app")
    index.offer("app")
    assert index.plan() == ({"app": "2"}, {})
    index.settings(settings)
    with pytest.raises(PackageError, match=why):
        index.plan()


def test_a_package_that_lacks_another_one_is_named_with_what_repairs_it(index: Index) -> None:
    index.install("app", Depends="gone (>= 2)")
    with pytest.raises(PackageError) as caught:
        index.plan()
    assert str(caught.value) == (
        "unmet dependencies: app needs gone (>= 2), which no repository has (apt-get --fix-broken install)"
    )


def test_each_broken_package_is_named_with_both_ends(index: Index) -> None:
    index.install("app", Depends="lib (>= 2)")
    index.install("lib")
    index.offer("lib")
    index.install("held", held=True, Depends="new")
    index.offer("new")
    index.install("tool", Conflicts="lib")
    with pytest.raises(PackageError) as caught:
        index.plan()
    assert str(caught.value) == (
        "unmet dependencies: app needs lib (>= 2), of which version 1 is installed; held needs new, which is not"
        " installed; tool conflicts with lib, which is installed at 1 (apt-get --fix-broken install)"
    )


def test_a_package_is_updated_that_only_an_impossible_update_would_remove(index: Index) -> None:
    index.install("app")
    index.install("old", auto=True)
    index.offer("app", Conflicts="old")
    index.offer("old")
    assert index.plan(removals=False) == ({"old": "2"}, {"app": "would remove old (removals: refuse)"})
    assert index.plan(exclude=["app"]) == ({"old": "2"}, {"app": "excluded by 'app' (exclude)"})


def test_packages_of_two_architectures_are_told_apart(index: Index) -> None:
    native = native_architecture()
    foreign = "i386" if native == "amd64" else "amd64"
    index.settings(f'APT::Architectures {{ "{native}"; "{foreign}"; }};\n')
    for architecture in (native, foreign):
        index.install("app", Architecture=architecture, Multi_Arch="same")
        index.offer("app", Architecture=architecture, Multi_Arch="same")
    why = f"would remove app:{foreign} (exclude)"
    held = {f"app:{foreign}": f"excluded by 'app:{foreign}' (exclude)", "app": why}
    assert index.plan(exclude=[f"app:{foreign}"]) == ({}, held)


def test_removals_that_apt_does_not_allow_are_held_back_by_the_name_of_the_setting(index: Index) -> None:
    index.install("app")
    index.install("old", auto=True)
    index.install("tool")
    index.offer("app", Conflicts="old", Replaces="old")
    index.offer("tool")
    index.settings('APT::Get::Remove "false";\n')
    why = "would remove old (APT::Get::Remove is off in apt's configuration)"
    assert index.plan() == ({"tool": "2"}, {"app": why})
