"""What apt and dpkg print, recorded in captures, as values."""

from pathlib import Path

import pytest

from os_update_agent.model.errors import PackageError
from os_update_agent.model.package_files import Offer
from os_update_agent.model.packages import Package, PackageState
from os_update_agent.packages.apt.parse import (
    Simulated,
    as_changes,
    first_error,
    is_security,
    parse_extended_states,
    parse_failures,
    parse_installed,
    parse_installed_sizes,
    parse_simulation,
    parse_unavailable,
    parse_uris,
    why_impossible,
)

CAPTURES = Path(__file__).parents[1] / "captures"
STABLE, SECURITY = "Debian:12.9/stable", "Debian-Security:12/stable-security"


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


def test_a_dist_upgrade_line_by_line() -> None:
    simulation = parse_simulation(capture("dist-upgrade.txt"))
    assert simulation.lines == (
        Simulated("useold", "", "2.0-1", "amd64", (STABLE,)),
        Simulated("oldname", "", None),
        Simulated("newname", "", "2.0-1", "all", (STABLE,)),
        Simulated("app", "", "2.0-1", "amd64", (STABLE,)),
        Simulated("libapp1", "", "2.0-1", "amd64", (STABLE,)),
        Simulated("extra", "", "2.0-1", "amd64", (STABLE,)),
        Simulated("epochy", "", "1:1.0-1", "amd64", (STABLE,)),
        Simulated("foreign", "i386", "2.0-1", "i386", (STABLE,)),
        Simulated("sslish", "", "3.0.15-1~deb12u1", "amd64", (STABLE, SECURITY)),
        Simulated("turns", "", "2.0-1", "amd64", (STABLE,)),
    )
    assert simulation.kept_back == ("heldpkg", "needy", "phased", "wantsnew")
    assert simulation.deferred == ()
    assert simulation.removed == ("oldname",)


def test_the_effect_is_a_set_of_places_and_versions() -> None:
    effect = parse_simulation(capture("dist-upgrade.txt")).effect
    assert {(("oldname", ""), None), (("foreign", "i386"), "2.0-1"), (("turns", ""), "2.0-1")} < effect
    assert len(effect) == 10


def test_deferred_is_told_from_kept_back() -> None:
    simulation = parse_simulation(capture("deferred.txt"))
    assert (simulation.deferred, simulation.kept_back) == (("phased", "phased-too"), ("heldpkg",))


def test_upgrades_of_a_real_node() -> None:
    simulation = parse_simulation(capture("debian-12.txt"))
    security = ("Debian-Security:12/oldstable-security",)
    assert [(line.name, line.version, line.arch, line.origins) for line in simulation.lines] == [
        ("bash", "5.2.15-2+b13", "amd64", ("Debian:12.15/oldstable",)),
        ("postgresql-common", "248+deb12u2", "all", security),
        ("postgresql-client-common", "248+deb12u2", "all", security),
        ("linux-libc-dev", "6.1.192-2", "amd64", security),
        ("linux-perf", "6.1.192-2", "amd64", security),
        ("postgresql", "15+248+deb12u2", "all", security),
        ("postgresql-contrib", "15+248+deb12u2", "all", security),
        ("python3-jwt", "2.6.0-1+deb12u1", "all", ("Debian:12.15/oldstable", *security)),
        ("unzip", "6.0-28+deb12u1", "amd64", security),
    ]


@pytest.mark.parametrize(("line", "expected"), [
    (
        "Inst libssl3 [3.0.11-1] (3.0.15-1~deb12u1 Debian-Security:12/stable-security, Debian:12.9/stable [amd64])",
        Simulated("libssl3", "", "3.0.15-1~deb12u1", "amd64", (SECURITY, STABLE)),
    ),
    ("Inst g++-12 [12.2.0-14] (12.2.0-15 Debian:12.9/stable [amd64]) []",
     Simulated("g++-12", "", "12.2.0-15", "amd64", (STABLE,))),
    ("Inst libc6:i386 (2.36-9 Debian:12.9/stable [i386]) [a:amd64 b:i386 ]",
     Simulated("libc6", "i386", "2.36-9", "i386", (STABLE,))),
    ("Inst own (1.0  [all])", Simulated("own", "", "1.0", "all", ("",))),
    ("Inst own (1.0 My Company Ltd.:1/stable [all])",
     Simulated("own", "", "1.0", "all", ("My Company Ltd.:1/stable",))),
    ("Remv libgone:i386 [1.0] [a:amd64 ]", Simulated("libgone", "i386", None)),
    ("Purg oldname [1.0-1]", Simulated("oldname", "", None)),
    ("Purg leftover", Simulated("leftover", "", None)),
])  # fmt: skip
def test_the_forms_of_a_line(line: str, expected: Simulated) -> None:
    assert parse_simulation(f"{line}\n").lines == (expected,)


def test_a_purge_also_names_what_is_only_configuration() -> None:
    simulation = parse_simulation(capture("purge.txt"))
    assert simulation.effect == {
        (("leftover", ""), None), (("oldname", ""), None), (("useold", ""), "2.0-1"), (("newname", ""), "2.0-1"),
    }  # fmt: skip


def test_a_removal_of_a_foreign_package_is_in_its_place() -> None:
    assert parse_simulation(capture("remove-foreign.txt")).effect == {(("foreign", "i386"), None)}


def test_a_file_of_the_archive_has_no_repository() -> None:
    simulation = parse_simulation(capture("install-files.txt"))
    assert simulation.effect == {(("app", ""), "0.5-1"), (("useold", ""), None)}
    assert [line.origins for line in simulation.lines] == [(), ("local-deb",)]


@pytest.mark.parametrize("line", ["Inst app", "Inst app [1.0] 2.0", "Remv ", "Inst  (1.0 x [all])"])
def test_an_announced_line_that_is_not_understood_is_an_error(line: str) -> None:
    with pytest.raises(PackageError, match="not understood"):
        parse_simulation(f"Inst ok (1.0 Debian:12/stable [all])\n{line}\n")


def test_nothing_to_do_is_an_empty_simulation() -> None:
    assert parse_simulation("0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n").lines == ()


def test_changes_carry_hold_and_mark_and_what_is_new_is_automatic(installed: PackageState) -> None:
    changes = {change.name: change for change in as_changes(parse_simulation(capture("dist-upgrade.txt")), installed)}
    assert changes["libapp1"].after == package("libapp1", "2.0-1")._replace(mark="auto")
    assert (changes["newname"].before, changes["newname"].after) == (
        None,
        package("newname", "2.0-1", "all")._replace(mark="auto"),
    )
    assert (changes["oldname"].before, changes["oldname"].after) == (
        package("oldname", arch="all")._replace(mark="auto"),
        None,
    )
    assert changes["foreign"].before == package("foreign", arch="i386")
    assert (changes["turns"].before, changes["turns"].after) == (
        package("turns", arch="all"),
        package("turns", "2.0-1"),
    )
    assert changes["sslish"].origins == (STABLE, SECURITY)
    assert list(changes) == sorted(changes)


def test_what_only_has_configuration_left_is_newly_installed(installed: PackageState) -> None:
    (change,) = as_changes(parse_simulation("Inst leftover (2.0-1 Debian:12.9/stable [amd64])\n"), installed)
    assert (change.before, change.kind) == (None, "install")


# --- what can be had


def test_versions_that_no_repository_has_any_more() -> None:
    asked = [package("epochy", "9.0-1"), package("libapp1"), package("app"), package("oldname", arch="all")]
    text = capture("download-gone.txt")
    assert parse_unavailable(text, asked) == (package("app"), package("epochy", "9.0-1"))
    sums = {
        "libapp1_1.0-1_amd64.deb": "2aad0e3a466432163c5b3ccb48e46fbb6566dfd24d3564ae4fb05e0c2f693b10",
        "oldname_1.0-1_all.deb": "2d1cc72b573f329259f1da62388518f913c0087c2a6701f5fa90bda60ac029d4",
    }
    assert parse_uris(text) == {name: Offer(20672, None, sum_) for name, sum_ in sums.items()}


def test_a_repository_with_no_sha256_says_none() -> None:
    line = "'http://deb.example/app_1.0-1_amd64.deb' app_1.0-1_amd64.deb 20672 {}"
    for checksum in ("", "MD5Sum:0123456789abcdef0123456789abcdef", "SHA512:" + "0" * 128):
        assert parse_uris(line.format(checksum)) == {"app_1.0-1_amd64.deb": Offer(20672)}


def test_a_name_that_nobody_knows() -> None:
    asked = [package("libapp1"), package("nosuch")]
    assert parse_unavailable(capture("download-no-package.txt"), asked) == (package("nosuch"),)


def test_a_version_of_a_foreign_package_that_nobody_knows() -> None:
    asked = [package("libapp1"), package("foreign", "0.1-1", "i386")]
    assert parse_unavailable(capture("download-no-version.txt"), asked) == (asked[1],)


def test_one_of_a_pair_may_be_gone_and_the_other_not() -> None:
    asked = [package("turns", arch="all"), package("pair", arch="i386"), package("pair")]
    assert parse_unavailable(capture("download-pair.txt"), asked) == (asked[1], asked[0])


def test_everything_may_be_there() -> None:
    text = capture("download-uris.txt")
    assert parse_unavailable(text, [package("libapp1"), package("turns", arch="all")]) == ()
    assert {name: offer.size for name, offer in parse_uris(text).items()} == {
        "libapp1_1.0-1_amd64.deb": 20672,
        "turns_1.0-1_all.deb": 20672,
    }


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
        "Depends: absent (>= 3) but it is not installable; Depends: missing-too but it is not installable",
    ),
    ("install-impossible-version.txt", "Depends: libapp1 (>= 9) but 1.0-1 is to be installed"),
    ("install-unknown-version.txt", "Version '7.0-1' for 'app' was not found"),
    ("install-held.txt", "Held packages were changed and -y was used without --allow-change-held-packages."),
])  # fmt: skip
def test_why_apt_cannot(name: str, why: str) -> None:
    assert why_impossible(capture(name)) == why


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


@pytest.mark.parametrize(("origin", "security"), [
    ("Debian-Security:12/stable-security", True),
    ("Debian-Security:12/oldstable-security", True),
    ("Ubuntu:22.04/jammy-security", True),
    ("UbuntuESM:22.04/jammy-apps-security", True),
    ("Debian:12.9/stable", False),
    ("Ubuntu:22.04/jammy-updates", False),
    ("local-deb", False),
    ("", False),
    ("My-security-tools:1/stable", False),
])  # fmt: skip
def test_a_security_archive_says_so_itself(origin: str, security: bool) -> None:
    assert is_security([origin]) == security
    assert is_security(["Debian:12.9/stable", origin]) == security


def test_no_origin_is_no_security() -> None:
    assert not is_security([])
