"""How far apt and a dnf are, from what they really write."""

from pathlib import Path

from os_update_agent.packages.progress import Step, counted, last_step

CAPTURES = Path(__file__).parent / "captures" / "apt"
FAILED = (CAPTURES / "status-fd-failed.txt").read_text(encoding="utf-8")


def test_the_newest_step_of_apt_counts() -> None:
    assert last_step("dlstatus:1:0.0000:Retrieving file 1 of 2\ndlstatus:2:50.0000:Retrieving file 2 of 2\n") == Step(
        "Retrieving file 2 of 2", 50.0
    )
    assert last_step("pmstatus:libc6:amd64:22.2222:Unpacking libc6:amd64 (amd64)\n") == Step("Unpacking libc6:amd64 (amd64)", 22.2222)
    assert last_step(FAILED) == Step("Configuring broken (amd64)", 55.5556)


def test_a_line_that_is_being_written_is_no_step() -> None:
    assert last_step("pmstatus:a:10.0:Unpacking a (amd64)\npmstatus:b:1") == Step("Unpacking a (amd64)", 10.0)
    assert last_step("") is None and last_step("Reading package lists...\n") is None


def test_each_package_is_counted_once() -> None:
    assert counted(FAILED, "Unpacking") == 2
    assert counted(FAILED, "Configuring") == 1
    assert counted(FAILED, "Removing") == 0


def test_dnf_counts_itself() -> None:
    assert last_step("=== transact\n[2/8] Upgrade webapp-2.0-1.x86_64\n") == Step("2 of 8: Upgrade webapp-2.0-1.x86_64", 25.0)
