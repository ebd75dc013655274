"""The dnf 4 backend, driven directly: the real dnf and rpm in a private root, from capture to an exact way back."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Callable, Iterator

import pytest

from os_update_agent.model.errors import NotRestorable, PackageError
from os_update_agent.model.package_files import NewKernels
from os_update_agent.model.packages import Selection, diff
from os_update_agent.packages.dnf.dnf4 import Dnf4
from os_update_agent.packages.dnf.protocol import Reasons
from os_update_agent.packages.state import expected, unmet, visible
from os_update_agent.packages.transition import Transition
from os_update_agent.testing.rpm_repository import DATABASE, Advisory, Rpm, build, make_root
from packages.dnf.world import CONF, ONE, TWO, VERSIONS_ONE, VERSIONS_TWO, World, kernel, version_file
from packages.faulty import FaultyServer
from packages.signing import sign

# --- there and back


def test_a_capture_has_versions_marks_and_digests_without_the_keys(world: World) -> None:
    state = world.state()
    assert world.versions() == VERSIONS_ONE
    assert {name for name, mark in world.marks().items() if mark == "auto"} == {"libapp1", "oldname", "dropped"}
    assert all(re.fullmatch("sha256header:[0-9a-f]{64},sigmd5:[0-9a-f]{32}", one.digest) for one in state.packages)
    assert state.install_only == {"kernel"}


def test_the_marks_read_from_the_file_are_those_that_dnf_tells(two: World) -> None:
    assert two.update() == ()
    two.dnf("mark", "remove", "tool")
    two.dnf("mark", "install", "libapp1")
    two.dnf("remove", "useold")
    two.dnf("install", "useold")
    words = {"user": "manual", "dependency": "auto"}
    told = {name: words.get(word, word) for name, word in two.backend()._ask(Reasons(str(two.root))).items()}
    assert told == {f"{package.name}.{package.arch}": package.mark for package in two.state().packages}
    assert set(told.values()) == {"manual", "auto"}


def test_an_update_brings_what_was_planned_and_says_so_in_dnfs_history(two: World) -> None:
    changes, held = two.plan()
    target = expected(two.state(), changes)
    assert held == {}
    assert two.reach(target, forced=False) == ()
    assert unmet(two.state(), target) == ()
    assert two.versions() == VERSIONS_TWO
    assert two.kernels() == ["6.1.1-1", "6.1.2-1"]
    assert two.marks()["extra"] == "auto" and two.marks()["kernel"] == "manual"
    assert "os-update-agent 2026-11-08" in two.dnf("history", "info", "last")


def test_the_way_back_is_exact_and_needs_no_repository(two: World) -> None:
    one = two.state()
    assert two.update() == ()
    there = two.state()
    shutil.rmtree(two.repository.directory)
    assert two.reach(one) == ()
    assert two.state().digest == one.digest
    assert two.is_sound()
    assert two.reach(there) == ()
    assert two.state().digest == there.digest
    assert two.is_sound()


def test_marks_of_packages_that_stay_are_restored(two: World) -> None:
    one = two.state()
    two.dnf("mark", "remove", "tool")
    two.dnf("mark", "install", "libapp1")
    assert two.state().digest != one.digest
    assert two.reach(one) == ()
    assert two.state().digest == one.digest


def test_a_package_that_rpm_installed_without_dnf_keeps_its_unknown_reason(world: World) -> None:
    build([Rpm("byhand", "1.0")], world.directory / "elsewhere")
    (path,) = (world.directory / "elsewhere").iterdir()
    world.rpm("-i", str(path)).check_returncode()
    assert world.marks()["byhand"] == "unknown"
    one = world.state()
    world.offer(Rpm("byhand", "1.0"), Rpm("byhand", "2.0"))
    assert world.update() == ()
    assert world.marks()["byhand"] == "unknown" and world.versions()["byhand"] == "2.0-1"
    assert world.reach(one) == ()
    assert world.state().digest == one.digest


def test_an_edited_configuration_file_is_kept_both_ways(two: World) -> None:
    one = two.state()
    conf = two.root / CONF[1:]
    conf.write_text("mine\n", encoding="utf-8")
    assert two.update() == ()
    assert conf.read_text(encoding="utf-8") == "mine\n"
    assert two.reach(one) == ()
    assert conf.read_text(encoding="utf-8") == "mine\n"
    assert two.state().digest == one.digest


def test_kernels_over_the_limit_stay(two: World) -> None:
    conf = two.root / "etc/dnf/dnf.conf"
    conf.write_text(conf.read_text(encoding="utf-8") + "installonly_limit=2\n", encoding="utf-8")
    assert two.update() == ()
    two.offer(kernel("6.1.3"), kernel("6.1.4"))
    before = two.state()
    assert two.update() == ()
    assert two.kernels() == ["6.1.1-1", "6.1.2-1", "6.1.4-1"]
    assert two.reach(before) == ()
    assert two.state().digest == before.digest


def test_a_name_that_is_install_only_from_now_on_is_met(world: World) -> None:
    module = replace(kernel("6.1.2"), name="kernel-modules-core", files={}, provides=["installonlypkg(kernel-module)"])
    world.offer(replace(kernel("6.1.2"), requires=["kernel-modules-core"]), module)
    one = world.state()
    target = expected(one, world.plan()[0])
    assert world.reach(target, forced=False) == ()
    assert world.state().install_only == {"kernel", "kernel-modules-core"}
    assert unmet(world.state(), target) == ()
    assert world.reach(one) == ()
    assert world.state().digest == one.digest


def test_the_same_version_in_other_bytes_is_another_state(world: World) -> None:
    one = world.state()
    assert world.update() == ()
    world.obtain([package for package in one.packages if package.name == "tool"])
    build([replace(ONE[5], files=version_file("tool", "rebuilt"))], world.directory / "elsewhere")
    (path,) = (world.directory / "elsewhere").iterdir()
    world.rpm("-U", "--replacepkgs", str(path)).check_returncode()
    assert world.state().digest != one.digest
    assert world.reach(one) == ()
    assert world.state().digest == one.digest
    assert world.is_sound()


def test_a_lost_old_version_is_named_before_anything_changes(two: World) -> None:
    two.repository.remove(ONE[0])
    two.repository.publish()
    before = two.state()
    target = expected(before, two.plan()[0])
    with two.log.open("ab", buffering=0) as output:
        transition = Transition(two.backend(), two.archive, two.root, output)
        assert [package.label for package in transition.lost_by(before, target)] == ["app:x86_64 1.0-1"]
        (lost,) = transition.keep_old(before, target)[0].items()
    assert lost[0].name == "app" and "no repository" in lost[1]
    two.reach(target, forced=False)
    with pytest.raises(NotRestorable, match=r"app:x86_64 1.0-1"):
        two.reach(before)
    assert two.versions() == VERSIONS_TWO


def test_the_transaction_is_the_plan_and_nothing_but_the_plan(two: World) -> None:
    before = two.state()
    target = expected(before, two.plan()[0])
    less = replace(target, packages=tuple(package for package in target.packages if package.name != "extra"))
    with pytest.raises(PackageError, match="extra"):
        two.reach(less)
    assert two.state() == before


# --- what is asked for


def test_a_selection_brings_what_it_names_and_what_that_needs(two: World) -> None:
    changes, held = two.plan(Selection(packages=("app",)))
    assert {change.name for change in changes} == {"app", "libapp1", "extra"}
    assert held["epochy"] == "not selected (packages)"


def test_an_exclusion_holds_for_dependencies_and_names_the_solvers_reason(two: World) -> None:
    changes, held = two.plan(Selection(exclude=("libapp*", "kernel")))
    assert {change.name for change in changes} == {"epochy", "newname", "oldname", "useold", "dropper", "dropped"}
    assert held["libapp1"] == "excluded by 'libapp*' (exclude)"
    assert held["kernel"] == "excluded by 'kernel' (exclude)"
    assert "libapp1 >= 2.0" in held["app"]


def test_an_excluded_package_is_not_replaced_by_its_successor(two: World) -> None:
    changes, held = two.plan(Selection(exclude=("oldname",)))
    assert not {"oldname", "newname", "useold"} & {change.name for change in changes}
    assert "newname" in held["useold"]


def test_refused_removals_hold_back_what_would_remove(two: World) -> None:
    changes, held = two.plan(Selection(removals=False))
    assert all(change.after is not None for change in changes)
    assert {"app", "epochy", "kernel"} <= {change.name for change in changes}
    assert held["dropper"] == "would remove dropped (removals: refuse)"
    assert "newname would remove oldname (removals: refuse)" in held["oldname"]
    assert "useold" in held


def test_a_locked_version_is_named_and_can_be_restored_under_the_lock(two: World) -> None:
    one = two.state()
    locks = two.root / "etc/dnf/plugins/versionlock.list"
    locks.parent.mkdir(parents=True)
    locks.write_text("# Added lock on Mon Nov 23\nepochy-0:9.0-1.*\n", encoding="utf-8")
    changes, held = two.plan()
    assert "epochy" not in {change.name for change in changes}
    assert held == {"epochy": "locked by dnf's versionlock"}
    assert two.update() == ()
    locks.write_text("app-0:2.0-1.*\n", encoding="utf-8")
    assert two.reach(one) == ()
    assert two.state().digest == one.digest


def test_excludes_of_the_node_itself_are_named(two: World) -> None:
    conf = two.root / "etc/dnf/dnf.conf"
    conf.write_text(conf.read_text(encoding="utf-8") + "excludepkgs=epochy\n", encoding="utf-8")
    changes, held = two.plan()
    assert "epochy" not in {change.name for change in changes}
    assert held == {"epochy": "excluded by the configuration of dnf (excludepkgs)"}


def test_security_brings_advisories_and_what_they_need(two: World) -> None:
    app, epochy = TWO[0], TWO[5]
    two.offer(advisories=[Advisory("DEMO-1", "security", (app,)), Advisory("DEMO-2", "bugfix", (epochy,))])
    changes, held = two.plan(Selection(security=True))
    assert {change.name for change in changes} == {"app", "libapp1", "extra"}
    assert held["epochy"] == "not a security update (select: security)"


def test_a_broken_dependency_holds_back_one_package_and_not_the_others(two: World) -> None:
    two.offer(Rpm("tool", "2.0", requires=["nowhere"]))
    changes, held = two.plan()
    assert "tool" not in {change.name for change in changes} and "app" in {change.name for change in changes}
    assert list(held) == ["tool"] and "nothing provides nowhere" in held["tool"]


# --- failing scriptlets


def test_a_failing_post_is_a_complaint_although_dnf_calls_it_a_success(two: World) -> None:
    one = two.state()
    two.offer(Rpm("tool", "2.0", scripts={"post": 'error("cannot migrate")'}))
    (complaint,) = two.update()
    assert "tool" in complaint and "cannot migrate" in complaint
    assert two.versions()["tool"] == "2.0-1"
    assert two.go(one) == ()
    assert two.state().digest == one.digest


def test_a_failing_pre_leaves_the_package_and_is_undone_exactly(two: World) -> None:
    one = two.state()
    two.offer(Rpm("tool", "2.0", scripts={"pre": 'error("not here")'}))
    complaints = two.update()
    assert "not here" in " ".join(complaints)
    assert two.versions()["tool"] == "1.0-1" and two.versions()["app"] == "2.0-1"
    assert two.go(one) == ()
    assert two.state().digest == one.digest


def test_a_failing_preun_is_a_complaint(two: World) -> None:
    two.offer(Rpm("tool", "1.5", scripts={"preun": 'error("I stay")'}))
    assert two.update() == ()
    two.offer(Rpm("tool", "2.0"))
    assert "I stay" in " ".join(two.update())


# --- repositories


@pytest.fixture
def server(two: World) -> Iterator[FaultyServer]:
    with FaultyServer(two.repository.directory) as server:
        two.serve(
            two.repository.section(server.url, skip_if_unavailable="1", retries="1", timeout="5", metadata_expire="0")
        )
        two.backend().refresh()
        yield server


@pytest.mark.parametrize("fault", ["404", "503", "drop", "cut", "corrupt"])
def test_a_repository_that_does_not_answer_is_an_error_whatever_it_says_of_itself(
    two: World, server: FaultyServer, fault: str
) -> None:
    two.offer(Rpm("tool", "2.0"))
    server.faults["repodata"] = fault
    with pytest.raises(PackageError, match=r"the package index cannot be refreshed: .*demo"):
        two.backend().refresh()


def test_a_repository_that_is_gone_is_an_error(two: World) -> None:
    two.serve(two.repository.section("http://127.0.0.1:9/", skip_if_unavailable="1", retries="1"))
    with pytest.raises(PackageError, match="the package index cannot be refreshed"):
        two.backend().refresh()


@pytest.mark.parametrize("fault", ["404", "cut", "corrupt", "drop"])
def test_a_package_that_does_not_come_changes_nothing(two: World, server: FaultyServer, fault: str) -> None:
    before = two.state()
    server.faults["epochy-1.0"] = fault
    with pytest.raises(PackageError, match=r"packages cannot be fetched: .*epochy"):
        two.update()
    assert two.state() == before
    server.faults.clear()
    assert two.update() == ()


def test_a_corrupted_package_on_the_disk_is_not_taken(two: World) -> None:
    two.backend().refresh()
    path = two.repository.directory / TWO[5].file
    content = bytearray(path.read_bytes())
    content[-10] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(PackageError, match="packages cannot be fetched"):
        two.update()


def test_an_unsigned_package_is_refused_where_the_repository_is_to_be_checked(two: World) -> None:
    before = two.state()
    two.serve(two.repository.section(gpgcheck="1"))
    with pytest.raises(PackageError, match=r"is not signed .repository demo, gpgcheck=1"):
        two.update()
    assert two.state() == before
    assert not list((two.directory / "archive").glob("*.rpm"))


@pytest.mark.parametrize("local", [True, False])
def test_a_signed_package_is_taken_with_a_key_that_lies_on_the_node(two: World, keyring: Path, local: bool) -> None:
    before = two.state()
    one, epochy = ([two.repository.directory / rpm.file for rpm in rpms] for rpms in (ONE, TWO))
    sign(keyring, [*one, *epochy])
    two.repository.publish()
    with FaultyServer(keyring) as server:
        key = (keyring / "key.asc").as_uri() if local else f"{server.url}key.asc"
        two.serve(two.repository.section(gpgcheck="1", gpgkey=key))
        if local:
            assert two.update() == ()
            assert "gpg-pubkey" in two.rpm("-qa").stdout
            assert two.versions() == VERSIONS_TWO
            assert two.reach(before) == ()
            assert two.state().digest == before.digest
        else:
            with pytest.raises(PackageError, match=r"Public key for .* is not installed .repository demo, gpgcheck=1"):
                two.update()


def test_two_epochs_of_one_version_have_files_of_their_own(world: World) -> None:
    one = world.state()
    # The same version and release: dnf gives both files the same name.
    other = World(world.directory / "other")
    other.repository.add(Rpm("tool", "1.0", epoch="1"))
    other.repository.publish()
    world.serve(world.repository.section() + "\n" + replace_name(other.repository.section()))
    assert world.update() == ()
    assert world.versions()["tool"] == "1:1.0-1"
    assert world.reach(one) == ()
    assert world.state().digest == one.digest


def replace_name(section: str) -> str:
    return section.replace("[demo]", "[other]")


# --- the database


def test_a_damaged_database_is_an_error_and_never_an_empty_state(world: World) -> None:
    database = world.root / DATABASE[1:] / "rpmdb.sqlite"
    for path in database.parent.glob("rpmdb.sqlite-*"):
        path.unlink()
    content = bytearray(database.read_bytes())
    content[4096:12288] = b"\xff" * 8192
    database.write_bytes(bytes(content))
    with pytest.raises(PackageError, match="the package database"):
        world.state()


def test_an_empty_database_is_an_error(world: World) -> None:
    shutil.rmtree(world.root / DATABASE[1:])
    make_root(world.root)
    with pytest.raises(PackageError, match="no package at all"):
        world.state()


def test_sizes_are_known_by_name_architecture_and_version(world: World) -> None:
    backend = world.backend()
    file = world.repository.directory / ONE[8].file
    assert backend.new_kernels([file]) == NewKernels(1, 500)
    assert backend.installed_sizes([file]) == {("kernel", "x86_64", "6.1.1-1"): 1}
    assert backend.present_sizes()["kernel", "x86_64", "6.1.1-1"] == 1


def test_nothing_to_do_asks_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    state = world.state()
    refuse: Callable[..., None] = lambda *_, **__: pytest.fail("dnf was started")  # noqa: E731
    monkeypatch.setattr(Dnf4, "_ask", refuse)
    assert not visible(diff(state, world.state()))
    assert world.go(state) == ()
