"""The benchmarks: one table, and a JSON file as result. tests/run bench [RESULT.json] [--quick]"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, Iterator, List, Tuple

from bench import growth, line
from bench.measuring import Figures
from bench.rows import Row, table

RESULT = Path(__file__).resolve().parents[2] / ".test-venv/bench.json"
Section = Tuple[str, Callable[[Path], Iterator[Row]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", nargs="?", type=Path, default=RESULT, help="where the figures go as JSON")
    parser.add_argument("--quick", action="store_true", help="small sizes and one round: does it all work?")
    parser.add_argument("--only", metavar="SECTION", help="idle, changes-1, changes-30, changes-300, whole, growth or dnf")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each thing is done (5; 3 for 300 packages)")
    options = parser.parse_args()
    quick: bool = options.quick
    rounds: int = options.rounds or (1 if quick else 5)
    sections: List[Section] = [
        ("idle", lambda base: line.idle(base, rounds)),
        ("changes-1", lambda base: line.changes(base, 1, rounds)),
        ("changes-30", lambda base: line.changes(base, 30 if not quick else 5, rounds)),
        *([] if quick else [("changes-300", lambda base: line.changes(base, 300, min(3, rounds)))]),
        ("whole", lambda base: line.whole(base, rounds)),
        ("growth", lambda base: growth.rows(base, (200, 800), (10, 100), (50, 500)) if quick else growth.rows(base)),
        ("dnf", lambda base: _dnf(base, quick, rounds)),
    ]
    rows: List[Row] = []
    for name, section in sections:
        if options.only in (None, name):
            with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as directory:
                print(f"... {name}", file=sys.stderr, flush=True)
                rows += section(Path(directory))
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    machine = {"cores": cores, "system": _system(), "python": platform.python_version(), "load": round(load, 2)}
    print("medians on {cores} cores, {system}, Python {python}, load {load}".format(**machine))
    print(table(rows))
    options.result.write_text(json.dumps({"machine": machine, "rows": [row.as_json() for row in rows]}, indent=1) + "\n", encoding="utf-8")


def _dnf(base: Path, quick: bool, rounds: int) -> Iterator[Row]:
    """bench_dnf.py measures by itself, in turns; here its figures become rows."""
    if not shutil.which("dnf"):
        return
    result = base / "dnf.json"
    program = Path(__file__).with_name("bench_dnf.py")
    options = ["--repeats", str(rounds), *(["--small"] if quick else [])]
    subprocess.run([sys.executable, str(program), str(result), *options], check=True, stdout=subprocess.DEVNULL)
    found = json.loads(result.read_text(encoding="utf-8"))
    for what, seconds in found["seconds"].items():
        row = Row("dnf 4, 30 packages", what, Figures(seconds, 0.0, 0.0))
        for pair in found["ratios"]:
            ours, _, theirs = pair.partition(" / ")
            if ours == what and row.ratio is None:
                peer = Figures(found["seconds"][theirs], 0.0, 0.0)
                row = row.against(peer, theirs, 1.10, 0.3)
        yield row


def _system() -> str:
    for text in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
        if text.startswith("PRETTY_NAME="):
            return text.partition("=")[2].strip('"')
    return platform.system()


if __name__ == "__main__":
    main()
