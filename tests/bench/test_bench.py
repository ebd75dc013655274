"""The benchmarks run, and say what they have measured. How long it took is nobody's business here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("section", "rows"),
    [
        ("changes-1", {"update", "restore"}),
        ("growth", {"200", "800", "10", "100", "50", "500"}),
        ("dnf", {"the hook, a new value", "the hook, back to the first value"}),
    ],
)
def test_a_section_gives_a_table_and_a_file(tmp_path: Path, section: str, rows: "set[str]") -> None:
    result = tmp_path / "bench.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench", str(result), "--quick", "--only", section],
        env={**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent / 'agent'}"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(result.read_text(encoding="utf-8"))
    assert rows <= {row["what"] for row in found["rows"]}
    assert all(row["figures"]["seconds"] > 0 and row["what"] in done.stdout for row in found["rows"])
    assert "goals met" in done.stdout and found["machine"]["cores"] == os.cpu_count()


def test_processor_time_of_what_was_detached_counts(tmp_path: Path) -> None:
    sys.path.insert(0, str(TESTS))
    from bench.measuring import measured

    burn = "import time\nwhile time.process_time() < 0.4: pass"
    figures, _ = measured(["setsid", "--fork", sys.executable, "-c", burn], tmp_path)
    assert figures.cpu >= 0.4 and figures.peak > 1
