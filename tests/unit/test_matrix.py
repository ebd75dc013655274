"""The pure parts of the matrix of releases (tests/matrix): arguments, counts, and the table."""

import pytest

from matrix import __main__ as matrix
from matrix import roots, suites
from matrix.suites import Outcome

REPORT = """\
<testsuites><testsuite>
<testcase classname="a" name="good"/>
<testcase classname="a" name="bad"><failure/></testcase>
<testcase classname="a" name="broken"><error/></testcase>
<testcase classname="a" name="left out"><skipped/></testcase>
</testsuite></testsuites>
"""


def test_failures_and_errors_are_counted_and_named() -> None:
    assert suites.counts(REPORT) == (1, ["a::bad", "a::broken"], 1)


def test_a_suite_without_a_test_is_not_good() -> None:
    assert not Outcome(0, (), 0, 1.0).is_good
    assert Outcome(1, (), 0, 1.0).is_good and not Outcome(1, ("a::bad",), 0, 1.0).is_good


def test_without_names_everything_is_run() -> None:
    assert matrix.split([]) == (list(roots.NAMES), list(suites.ALL), [])


def test_names_choose_and_the_rest_is_for_pytest() -> None:
    assert matrix.split(["line", "trixie", "-k", "bookworm"]) == (["trixie"], ["line"], ["-k", "bookworm"])
    assert matrix.split(["sid", "-x"]) == (["sid"], list(suites.ALL), ["-x"])


def test_a_choice_of_tests_is_one_among_those_of_the_roots_package_manager() -> None:
    assert suites.arguments_of("sid", "demo", []) == ["cli/test_demo.py", "-k", "not dnf and not rpm"]
    assert suites.arguments_of("sid", "line", ["-x", "-k", "a or b", "--pdb"]) == [
        *("packages/line", "-k", "(not dnf and not rpm) and (a or b)", "-x", "--pdb")
    ]
    assert suites.arguments_of("trixie-dnf", "contract", []) == ["packages/contract", "-k", "dnf4"]
    assert suites.arguments_of("sid-dnf", "contract", ["-k", "a"]) == [
        *("packages/contract", "-k", "(dnf4 or dnf5) and (a)")
    ]
    assert set(suites.OF_DNF4) == set(suites.OF_BOTH) == set(suites.DNF_SUITES)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(SystemExit, match="trixi; there are: bullseye"):
        matrix.split(["trixi", "line"])


def test_the_table_has_a_row_for_each_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "version", lambda release: f"of {release}")
    table = {("sid", "demo"): Outcome(4, ("x",), 2, 3.4), ("sid", "line"): Outcome(50, (), 0, 100.0)}
    first, row = matrix.rows(table, ["sid"], ["line", "demo"])
    assert first.split() == ["passed/failed/skipped", "line", "demo"]
    assert row.split() == ["sid", "(of", "sid)", "50/0/0", "100", "s", "4/1/2", "3", "s"]


def test_a_suite_that_a_root_does_not_have_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "version", lambda name: "dnf 4")
    row = matrix.rows({("sid-dnf", "demo"): Outcome(4, (), 0, 3.4)}, ["sid-dnf"], ["line", "demo"])[1]
    assert row.split() == ["sid-dnf", "(dnf", "4)", "-", "4/0/0", "3", "s"]
