from os_update_agent.packages.complaints import as_line, complaints_in


def test_complaints_are_found_among_other_lines_each_once() -> None:
    log = "\n".join(
        [
            "=== transact",
            as_line("one\n failed"),
            "[1/2] Upgrading app",
            as_line("two failed"),
            as_line("one failed"),
            "",
        ]
    )
    assert complaints_in(log) == ("one failed", "two failed")


def test_a_log_without_complaints_has_none() -> None:
    assert complaints_in("[1/2] Upgrading app\nno complaint: none\n") == ()
