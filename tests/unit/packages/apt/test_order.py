"""Which packages a way back unpacks first, and how versions are ordered."""

from typing import List, Sequence

import pytest

from os_update_agent.model.packages import Package
from os_update_agent.packages.apt.order import compare, parse_needs, successors, unpacked_first

# In the order of deb-version(7).
VERSIONS = (
    *("0~", "0", "0.1", "1.0~~", "1.0~rc1-1", "1.0", "1.0-1~deb12u1", "1.0-1", "1.0-1+b1", "1.0-1+deb12u9"),
    *("1.0-1+deb12u10", "1.0-2", "1.0a", "1.0+b1", "1.0-2-1", "1.01", "1.9", "1.10", "2a", "1:0.1", "2:0"),
)


def row(
    package: str,
    needs: str = "",
    *,
    before: str = "",
    breaks: str = "",
    replaces: str = "",
    is_essential: bool = False,
) -> str:
    """A line of dpkg-query for "name version" or "name:arch version"."""
    label, version = package.split()
    name, _, arch = label.partition(":")
    essential = "yes" if is_essential else ""
    return "\t".join(
        ("installed", name, arch or "amd64", version, essential, before, needs, f"{breaks}, ", f"{replaces}\n")
    )


def first(rows: Sequence[str], *install: str) -> List[str]:
    packages = [Package(name.partition(":")[0], name.partition(":")[2] or "amd64", "1") for name in install]
    return [package.name for package in unpacked_first(parse_needs("".join(rows)), packages)]


LIBC = row("libc 2")
SHELL = row("shell 2", before="libc (>= 2)", is_essential=True)


def test_a_program_comes_before_the_library_that_becomes_too_old_for_it() -> None:
    assert first([LIBC, SHELL], "libc", "shell") == ["shell"]


@pytest.mark.parametrize("needs", ["", "libc", "libc (>= 1)", "libc (>= 3)", "other (>= 2)"])
def test_a_program_that_the_older_library_does_not_harm_is_left_to_apt(needs: str) -> None:
    assert first([LIBC, row("shell 2", before=needs, is_essential=True)], "libc", "shell") == []


def test_a_program_that_does_not_change_or_is_not_essential_is_left_to_apt() -> None:
    assert first([LIBC, SHELL], "libc") == []
    assert first([LIBC, SHELL], "shell") == []
    assert first([LIBC, row("tool 2", "libc (>= 2)")], "libc", "tool") == []


def test_a_library_of_an_essential_program_comes_between_both() -> None:
    acl = row("acl 2", "libc:any (>= 2)")
    core = row("core 2", before="acl (>= 2) | other, libc (>= 2)", is_essential=True)
    assert first([LIBC, acl, core], "acl", "core", "libc") == ["core", "acl"]


def test_packages_that_need_each_other_are_both_unpacked_first() -> None:
    one = row("one 2", before="two (= 2)", is_essential=True)
    assert sorted(first([one, row("two 2", "one (= 2)")], "one", "two")) == ["one", "two"]


def test_a_package_whose_coming_version_an_installed_package_breaks_is_left_to_apt() -> None:
    other = row("other 2", breaks="shell (<< 2)")
    assert first([LIBC, SHELL, other], "libc", "shell", "other") == []


def test_a_leaving_successor_and_the_package_that_it_has_replaced_change_at_once() -> None:
    old, new = Package("ssl", "amd64", "1"), Package("ssl-new", "amd64", "2")
    program = row("program 2", before="ssl-new", is_essential=True)
    installed = parse_needs(program + row("ssl-new 2", replaces="ssl (<< 2), ssl-old"))
    assert successors(installed, [old], [new]) == ((new,), (old,))
    # Both stay, or the versions do not count, or the architecture is another one.
    assert successors(installed, [old], []) == ((), ())
    assert successors(installed, [old._replace(version="3")], [new]) == ((), ())
    assert successors(installed, [old._replace(arch="i386")], [new]) == ((), ())
    # A package that is installed in another version keeps its row; its files are repaired afterwards.
    there = parse_needs(program + row("ssl-new 2", replaces="ssl") + row("ssl 2"))
    assert successors(there, [old], [new]) == ((), ())
    # No essential package needs it.
    assert successors(parse_needs(row("ssl-new 2", replaces="ssl")), [old], [new]) == ((), ())


def test_architectures_are_not_mixed_up() -> None:
    assert first([LIBC, row("libc:i386 2"), SHELL], "libc:i386", "shell") == []
    assert first([row("base:all 2"), row("shell 2", before="base (>= 2)", is_essential=True)], "base:all", "shell") == [
        "shell"
    ]


def test_a_package_that_is_not_installed_needs_nothing() -> None:
    assert parse_needs(SHELL.replace("installed", "unpacked", 1)) == ()


def test_versions_are_ordered_as_dpkg_orders_them() -> None:
    for index, one in enumerate(VERSIONS):
        assert [compare(one, other) > 0 for other in VERSIONS] == [place < index for place in range(len(VERSIONS))], one
        assert compare(one, one) == 0
    assert compare("1.0", "1.0-0") == compare("0:1", "1") == compare("1.00", "1.0") == 0
