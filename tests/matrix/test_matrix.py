"""Some of the matrix for each run of all tests: apt 3.0. This machine's own apt is 2.6; tests/run matrix runs all."""

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
