"""The benchmarks run, and say what they have measured. How long it took is nobody's business here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.apart import apart
from bench.line import PEERS
from bench.measuring import Failed, measured

TESTS = Path(__file__).parents[1]
MB = 1 << 20


@pytest.mark.parametrize(
    ("section", "rows"),
    [
        ("changes-1", {"update", "restore"}),
        ("growth", {"200", "800", "10", "100", "50", "500"}),
        ("files", {"1000", "500"}),
        ("idle", {"the first delivery (baseline)", "the current value again", "the same delivery again"}),
        ("dnf", {"update", "restore"}),
    ],
)
def test_a_section_gives_a_table_and_a_file(tmp_path: Path, section: str, rows: "set[str]") -> None:
    result = tmp_path / "bench.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench", str(result), "--quick", "--only", section],
        env={**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent / 'agent'}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(result.read_text(encoding="utf-8"))
    assert rows <= {row["what"] for row in found["rows"]}
    assert all(min(row["figures"].values()) > 0 and row["what"] in done.stdout for row in found["rows"])
    missing = {row["what"]: row["why"] for row in found["missing"]}
    for what in [what for what, *_ in PEERS] if section == "idle" else []:
        assert (what in missing) != (what in {row["what"] for row in found["rows"]})
    assert all(f"{what:52} NOT MEASURED: {why}" in done.stdout and why for what, why in missing.items())
    assert "goals met" in done.stdout and found["machine"]["cores"] == os.cpu_count()


def test_processor_time_of_what_was_detached_counts(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.4: pass"
    figures, _ = measured(["setsid", "--fork", sys.executable, "-c", burn], tmp_path)
    assert figures.cpu >= 0.4 and figures.peak > 1


def test_the_largest_of_several_processes_counts(tmp_path: Path) -> None:
    large = f"x = bytearray({64 * MB})"
    figures, _ = measured(["setsid", "--fork", sys.executable, "-c", large], tmp_path)
    assert 64 < figures.peak < 128


def test_a_command_that_fails_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="exit status 1: no such peer"):
        measured([sys.executable, "-c", "raise SystemExit('no such peer')"], tmp_path)


def test_the_memory_of_a_call_is_its_own() -> None:
    ballast = bytearray(256 * MB)
    taken, peak = apart(_take, 64 * MB)
    assert taken == 64 * MB and 64 < peak < len(ballast) / MB


def _take(size: int) -> int:
    return len(bytearray(size))
