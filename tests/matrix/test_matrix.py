"""Some of the matrix for each run of all tests: apt 3.0, and dnf 4.24 and 5 with rpm 6. This machine's own are apt 2.6
and dnf 4.14 with rpm 4.18; tests/run matrix runs all.
"""

from matrix import suites

RELEASE = "trixie"
TESTS = (
    "packages/contract/test_line.py::test_there_and_back_is_exact_in_versions_marks_and_holds[apt]",
    "packages/contract/test_line.py::test_a_failed_update_is_undone_and_the_old_value_is_still_current[apt]",
    "packages/contract/test_selection.py::test_removals_refuse_holds_back_what_would_remove[apt]",
    "packages/contract/test_selection.py::test_a_selected_package_brings_what_it_needs[apt]",
    "packages/apt/test_same_plan.py",
    "packages/apt/test_reasons.py",
    "packages/line/test_values.py::test_each_result_is_signalled_once_with_the_bytes_that_the_hook_prints",
)


def test_plans_reasons_and_ways_back_are_right_with_apt_3() -> None:
    outcome = suites.run(RELEASE, TESTS)
    assert outcome.is_good and not outcome.skipped, outcome


# Packages of both formats that rpm 6 builds, each with both dnfs. The names of the tests have the format.
BUILDS = "packages/dnf/test_builds.py::test_another_build_of_a_version_is_replaced_by_the_recorded_one"
DNF_TESTS = tuple(f"{BUILDS}[{manager}-{number}]" for manager in ("dnf4", "dnf5") for number in ("4", "6"))


def test_builds_are_told_apart_with_rpm_6() -> None:
    outcome = suites.run("sid-dnf", DNF_TESTS)
    assert outcome.is_good and outcome.passed == len(DNF_TESTS), outcome
