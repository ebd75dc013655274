"""How far apt and a dnf are, from what they really write."""

from pathlib import Path

import pytest

from os_update_agent.packages.progress import Step, counted, last_step

CAPTURES = Path(__file__).parent / "captures"
FAILED = (CAPTURES / "status-fd-failed.txt").read_text(encoding="utf-8")


def test_the_newest_step_of_apt_counts() -> None:
    assert last_step("dlstatus:1:0.0000:Retrieving file 1 of 2\ndlstatus:2:50.0000:Retrieving file 2 of 2\n") == Step(
        "2 of 2: Downloading", 50.0
    )
    assert last_step("pmstatus:libc6:amd64:22.2222:Unpacking libc6:amd64 (amd64)\n") == Step(
        "Unpacking libc6:amd64 (amd64)", 22.2222
    )
    assert last_step(FAILED) == Step("Configuring broken (amd64)", 55.5556)


@pytest.mark.parametrize(("coming", "shown"), [
    ("http://deb.debian.org/debian bookworm/main amd64 curl amd64 7.88.1-10+deb12u5 [315 kB]",
     "curl 7.88.1-10+deb12u5"),
    ("http://deb.debian.org/debian bookworm/main amd64 tzdata all 2024a-0+deb12u1 [296 kB]", "tzdata 2024a-0+deb12u1"),
    ("http://127.0.0.1:36379 ./ clock 1:1.0-1 [20.7 kB]", "clock 1:1.0-1"),
    ("file:/srv/repository ./ webapp 2.0-1", "webapp 2.0-1"),
    ("http://deb.debian.org/debian bookworm InRelease [151 kB]", "bookworm InRelease"),
    ("http://deb.debian.org/debian bookworm/main amd64 Packages [8786 kB]", "bookworm/main amd64 Packages"),
    ("http://127.0.0.1:36379 ./ Packages [4177 B]", "./ Packages"),
])  # fmt: skip
def test_what_apt_downloads_is_named(coming: str, shown: str) -> None:
    said = (
        "dlstatus:1:0.0000:Retrieving file 1 of 3\nGet:1 http://deb.example/debian x/main amd64 first amd64 1.0 [1 B]\n"
        f"Get:2 {coming}\n  404  Not Found\ndlstatus:2:33.3333:Retrieving file 2 of 3"
    )
    assert last_step(f"{said}\n") == Step(f"2 of 3: Downloading {shown}", 33.3333)
    assert last_step(f"{said} (1min 5s remaining)\n") == Step(
        f"2 of 3: Downloading {shown} (1min 5s remaining)", 33.3333
    )


def test_a_line_that_is_being_written_is_no_step() -> None:
    assert last_step("pmstatus:a:10.0:Unpacking a (amd64)\npmstatus:b:1") == Step("Unpacking a (amd64)", 10.0)
    assert last_step("") is None and last_step("Reading package lists...\n") is None


def test_each_package_is_counted_once() -> None:
    assert counted(FAILED, "Unpacking") == 2
    assert counted(FAILED, "Configuring") == 1
    assert counted(FAILED, "Removing") == 0


SET_UP = "Setting up webapp (2.0-1) ...\nwebapp: migrates its cache\n"


def test_a_repair_is_counted_from_what_the_log_says_before_it() -> None:
    unpacked = "Preparing to unpack .../libweb_1.0-1_amd64.deb ...\nUnpacking libweb (1.0-1) over (1.0-1) ...\n"
    assert last_step(f"packages to repair: 3\n{unpacked}") == Step("1 of 3: Unpacking libweb (1.0-1)", None)
    text = f"packages to repair: 3\n{unpacked}Setting up libweb (1.0-1) ...\n{SET_UP}"
    assert last_step(text) == Step("2 of 3: Setting up webapp (2.0-1)", None)
    assert str(last_step(SET_UP)) == "Setting up webapp (2.0-1)"
    assert last_step("=== undo\ncompleting webapp-2.0-1.x86_64.rpm\n") == Step("Completing webapp-2.0-1.x86_64", None)


def test_dnf_counts_itself() -> None:
    assert last_step("=== transact\n[2/8] Upgrade webapp-2.0-1.x86_64\n") == Step(
        "2 of 8: Upgrade webapp-2.0-1.x86_64", 25.0
    )
