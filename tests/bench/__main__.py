"""The benchmarks: one table, and a JSON file as result. tests/run bench [RESULT.json] [--quick]"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Tuple

from bench import growth, line
from bench.measuring import Figures
from bench.rows import Row, goals, table
from packages import sid

RESULT = Path(__file__).resolve().parents[2] / ".test-venv/bench.json"
Section = Tuple[str, Callable[[Path], Iterator[Row]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", nargs="?", type=Path, default=RESULT, help="where the figures go as JSON")
    parser.add_argument("--quick", action="store_true", help="small sizes and one round: does it all work?")
    parser.add_argument("--only", metavar="SECTION", help="idle, changes-1, changes-30, changes-300, whole, growth, dnf or dnf5")
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
        ("dnf", lambda base: _dnf(base, "dnf", quick, rounds)),
        ("dnf5", lambda base: _dnf(base, "dnf5", quick, rounds)),
    ]
    machine = {"cores": os.cpu_count() or 1, "system": _system(), "python": platform.python_version()}
    rows: List[Row] = []
    loads: Dict[str, float] = {}
    print("medians on {cores} cores, {system}, Python {python}".format(**machine))
    for name, section in sections:
        if options.only in (None, name):
            with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as directory:
                found = list(section(Path(directory)))
            rows += found
            loads[name] = round(os.getloadavg()[0], 2)
            # What is measured is told and kept, whatever becomes of the next section.
            print(f"\n{table(found)}", flush=True)
            document = {"machine": machine, "load": loads, "rows": [row.as_json() for row in rows]}
            options.result.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"\n{goals(rows)}; load after each section: {', '.join(f'{name} {load:g}' for name, load in loads.items())}")


def _dnf(base: Path, backend: str, quick: bool, rounds: int) -> Iterator[Row]:
    """bench_dnf.py measures by itself, in turns; here its figures become rows."""
    try:
        if backend == "dnf5":
            sid.root()
    except sid.Impossible as why:
        print(f"NOTHING IS MEASURED WITH DNF 5: {why}", file=sys.stderr)
        return
    result = base / "dnf.json"
    program = Path(__file__).with_name("bench_dnf.py")
    options = ["--backend", backend, "--repeats", str(rounds), *(["--small"] if quick else [])]
    subprocess.run([sys.executable, str(program), str(result), *options], check=True, stdout=subprocess.DEVNULL)
    found = json.loads(result.read_text(encoding="utf-8"))
    measured = {what: Figures(*columns, 0.0) for what, columns in found["medians"].items()}
    for what, figures in measured.items():
        row = Row("dnf 4, 30 packages" if backend == "dnf" else "dnf 5, 30 packages", what, figures)
        peer = next((pair.partition(" / ")[2] for pair in found["ratios"] if pair.startswith(f"{what} / ")), None)
        yield row if peer is None else row.against(measured[peer], peer, 1.15)


def _system() -> str:
    for text in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
        if text.startswith("PRETTY_NAME="):
            return text.partition("=")[2].strip('"')
    return platform.system()


if __name__ == "__main__":
    main()
