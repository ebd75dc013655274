"""What apt and dpkg print, recorded in captures, as values."""

from pathlib import Path
from typing import Optional, Tuple

import pytest

from os_update_agent.model.errors import PackageError
from os_update_agent.model.packages import Package, PackageState
from os_update_agent.packages.apt.parse import (
    first_error,
    parse_extended_states,
    parse_failures,
    parse_installed,
    parse_installed_sizes,
    parse_simulation,
    why_impossible,
)

CAPTURES = Path(__file__).parents[1] / "captures"


def capture(name: str) -> str:
    return (CAPTURES / name).read_text(encoding="utf-8")


@pytest.fixture
def installed() -> PackageState:
    return parse_installed(capture("dpkg-query.txt"), parse_extended_states(capture("extended_states.txt")), "amd64")


def package(name: str, version: str = "1.0-1", arch: str = "amd64") -> Package:
    return Package(name, arch, version)


# --- the package database


def test_every_row_of_dpkg_query_with_its_mark(installed: PackageState) -> None:
    assert installed == PackageState("apt", "amd64", (
        package("app"),
        package("epochy", "9.0-1"),
        package("foreign", arch="i386"),
        package("heldpkg")._replace(want="hold"),
        package("leftover")._replace(status="config-files", want="deinstall"),
        package("libapp1")._replace(mark="auto"),
        package("needy"),
        # Architecture "all" stands under the native one in extended_states.
        package("oldname", arch="all")._replace(mark="auto"),
        package("phased"),
        package("sslish", "3.0.11-1"),
        package("turns", arch="all"),
        package("useold"),
        package("wantsnew"),
    ))  # fmt: skip


def test_what_is_not_whole_keeps_its_status() -> None:
    state = parse_installed(capture("dpkg-query-half-configured.txt"), frozenset({("broken", "amd64")}), "amd64")
    assert [(row.name, row.status, row.mark, row.is_whole) for row in state.packages] == [
        ("app", "installed", "manual", True),
        ("broken", "half-configured", "auto", False),
        ("needsbroken", "unpacked", "manual", False),
    ]


def test_a_row_that_dpkg_remembers_and_that_is_not_installed_is_no_package() -> None:
    text = "gone\tamd64\t\tpurge\tnot-installed\tok\napp\tamd64\t1.0-1\tinstall\tinstalled\tok\n"
    assert parse_installed(text, frozenset(), "amd64").packages == (package("app"),)


def test_left_over_configuration_has_no_automatic_mark() -> None:
    text = "app\tamd64\t1.0-1\tdeinstall\tconfig-files\tok\n"
    assert parse_installed(text, frozenset({("app", "amd64")}), "amd64").packages[0].mark == "manual"


@pytest.mark.parametrize("text", ["", "\n".join(["gone\tamd64\t\tpurge\tnot-installed\tok"])])
def test_an_empty_database_is_damaged(text: str) -> None:
    with pytest.raises(PackageError, match="lists no package at all"):
        parse_installed(text, frozenset(), "amd64")


def test_a_strange_row_is_named() -> None:
    with pytest.raises(PackageError, match="not understood: 'dpkg-query: warning"):
        parse_installed("dpkg-query: warning: something\n", frozenset(), "amd64")


def test_extended_states_of_other_marks_and_without_a_word() -> None:
    assert parse_extended_states(
        "Package: a\nArchitecture: amd64\nAuto-Installed: 0\n\nPackage: b\nAuto-Installed: 1\n"
    ) == {("b", "")}
    assert parse_extended_states("") == frozenset()


# --- simulations


def test_a_simulation_is_a_set_of_places_and_versions() -> None:
    assert parse_simulation(capture("dist-upgrade.txt")) == {
        (("useold", ""), "2.0-1"),
        (("oldname", ""), None),
        (("newname", ""), "2.0-1"),
        (("app", ""), "2.0-1"),
        (("libapp1", ""), "2.0-1"),
        (("extra", ""), "2.0-1"),
        (("epochy", ""), "1:1.0-1"),
        (("foreign", "i386"), "2.0-1"),
        (("sslish", ""), "3.0.15-1~deb12u1"),
        (("turns", ""), "2.0-1"),
    }


@pytest.mark.parametrize(("line", "place", "version"), [
    (
        "Inst libssl3 [3.0.11-1] (3.0.15-1~deb12u1 Debian-Security:12/stable-security, Debian:12.9/stable [amd64])",
        ("libssl3", ""),
        "3.0.15-1~deb12u1",
    ),
    ("Inst g++-12 [12.2.0-14] (12.2.0-15 Debian:12.9/stable [amd64]) []", ("g++-12", ""), "12.2.0-15"),
    ("Inst libc6:i386 (2.36-9 Debian:12.9/stable [i386]) [a:amd64 b:i386 ]", ("libc6", "i386"), "2.36-9"),
    ("Inst own (1.0  [all])", ("own", ""), "1.0"),
    ("Inst own (1.0 My Company Ltd.:1/stable [all])", ("own", ""), "1.0"),
    ("Remv libgone:i386 [1.0] [a:amd64 ]", ("libgone", "i386"), None),
    ("Purg oldname [1.0-1]", ("oldname", ""), None),
    ("Purg leftover", ("leftover", ""), None),
])  # fmt: skip
def test_the_forms_of_a_line(line: str, place: Tuple[str, str], version: Optional[str]) -> None:
    assert parse_simulation(f"{line}\n") == {(place, version)}


def test_a_purge_also_names_what_is_only_configuration() -> None:
    assert parse_simulation(capture("purge.txt")) == {
        (("leftover", ""), None), (("oldname", ""), None), (("useold", ""), "2.0-1"), (("newname", ""), "2.0-1"),
    }  # fmt: skip


def test_a_removal_of_a_foreign_package_is_in_its_place() -> None:
    assert parse_simulation(capture("remove-foreign.txt")) == {(("foreign", "i386"), None)}


def test_files_of_the_archive_have_no_repository() -> None:
    assert parse_simulation(capture("install-files.txt")) == {(("app", ""), "0.5-1"), (("useold", ""), None)}


@pytest.mark.parametrize("line", ["Inst app", "Inst app [1.0] 2.0", "Remv ", "Inst  (1.0 x [all])"])
def test_an_announced_line_that_is_not_understood_is_an_error(line: str) -> None:
    with pytest.raises(PackageError, match="not understood"):
        parse_simulation(f"Inst ok (1.0 Debian:12/stable [all])\n{line}\n")


def test_nothing_to_do_is_an_empty_simulation() -> None:
    assert parse_simulation("0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n") == frozenset()


# --- sizes


def test_the_size_that_a_file_takes_when_installed() -> None:
    assert parse_installed_sizes(capture("show-file.txt")) == {("app", "amd64", "0.5-1"): 10}
    one = "Package: a\nArchitecture: all\nVersion: 1\nDescription: x\n Package: no\n"
    text = f"{one}\nPackage: b\nArchitecture: all\nVersion: 2\nInstalled-Size: many\n"
    assert parse_installed_sizes(text) == {("a", "all", "1"): 0, ("b", "all", "2"): 0}
    assert parse_installed_sizes("") == {}


# --- complaints


@pytest.mark.parametrize(("name", "why"), [
    (
        "install-impossible.txt",
        "wantsnew: Depends: absent (>= 3) but it is not installable;"
        " wantsnew: Depends: missing-too but it is not installable",
    ),
    ("install-impossible-version.txt", "needy: Depends: libapp1 (>= 9) but 1.0-1 is to be installed"),
    ("install-unknown-version.txt", "Version '7.0-1' for 'app' was not found"),
    ("install-held.txt", "Held packages were changed and -y was used without --allow-change-held-packages."),
])  # fmt: skip
def test_why_apt_cannot(name: str, why: str) -> None:
    assert why_impossible(capture(name)) == why


def test_what_the_solver_of_apt_3_has_tried_is_no_reason() -> None:
    """In the form in which apt 3.0 prints it."""
    text = (
        "The following packages have unmet dependencies:\n"
        " needy : Depends: libapp1 (>= 9) but 1.0-1 is to be installed\n"
        "E: Unable to correct problems, you have held broken packages.\n"
        "E: The following information from --solver 3.0 may provide additional context:\n"
        "   Unable to satisfy dependencies. Reached two conflicting decisions:\n"
        "   1. app:amd64 is selected for install\n"
        "   2. app:amd64 is not selected for install because:\n"
        "      1. needy:amd64=2.0-1 is selected for install\n"
    )
    assert why_impossible(text) == "needy: Depends: libapp1 (>= 9) but 1.0-1 is to be installed"


def test_the_first_error_is_dpkgs_and_not_apts_summary() -> None:
    assert (
        first_error(capture("install-failed.txt"))
        == "dpkg: error processing package broken (--configure): installed broken package post-installation script"
        " subprocess returned error exit status 3"
    )


def test_the_first_error_of_a_refresh() -> None:
    assert first_error(capture("update-503.txt")).startswith(
        "Failed to fetch http://deb.example/repo/./Packages  503  Service Unavailable"
    )


@pytest.mark.parametrize(("text", "error"), [
    ("", "no output"),
    ("something\nlast\n", "last"),
    ("E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1 (apt)\nE: Unable to acquire",
     "Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1 (apt)"),
    ("dpkg: error: dpkg frontend lock was locked by another process with pid 1",
     "dpkg: error: dpkg frontend lock was locked by another process with pid 1"),
])  # fmt: skip
def test_an_error_is_one_line(text: str, error: str) -> None:
    assert first_error(text) == error


def test_the_packages_that_failed_and_why() -> None:
    assert parse_failures(capture("status-fd-failed.txt")) == (
        "broken: installed broken package post-installation script subprocess returned error exit status 3",
        "needsbroken: dependency problems - leaving unconfigured",
    )


def test_a_failure_may_name_a_file_and_comes_once() -> None:
    line = "pmerror:/archive/big_1.0-1_amd64.deb : 42.8571:unable to write: No space left on device\n"
    assert parse_failures(line * 2) == ("big_1.0-1_amd64.deb: unable to write: No space left on device",)
    assert parse_failures("pmstatus:x:1:y\ndlstatus:1:0:z\n") == ()
