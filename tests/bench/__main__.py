"""The benchmarks: one table, and a JSON file as result. tests/run bench [RESULT.json] [--quick]"""

import argparse
import json
import os
import platform
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Tuple, Union

from bench import dnf, files, growth, index, line
from bench.rows import LEGEND, Missing, Row, goals, table

RESULTS = Path(__file__).resolve().parents[2] / ".test-venv"
NAMES = ("idle", "changes-1", "changes-30", "changes-300", "index", "whole", "growth", "files", "dnf", "dnf5")
Section = Tuple[str, Callable[[Path], Iterable[Union[Row, Missing]]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "result",
        nargs="?",
        type=Path,
        help="where the figures go as JSON (.test-venv/bench.json, or bench-SECTION.json)",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes and one round: does it all work?")
    parser.add_argument("--only", choices=NAMES, metavar="SECTION", help=", ".join(NAMES))
    parser.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help="how often each thing is done (5; 300 packages with apt, dnf 5: at most 3)",
    )
    options = parser.parse_args()
    quick: bool = options.quick
    result: Path = options.result or RESULTS / (f"bench-{options.only}.json" if options.only else "bench.json")
    rounds: int = options.rounds or (1 if quick else 5)
    few = min(3, rounds)
    counts = (1,) if quick else (1, 30, 300)
    sections: List[Section] = [
        ("idle", lambda base: line.idle(base, 3 if quick else 30, rounds)),
        ("changes-1", lambda base: line.changes(base, 1, rounds)),
        ("changes-30", lambda base: line.changes(base, 30 if not quick else 5, rounds)),
        *([] if quick else [("changes-300", lambda base: line.changes(base, 300, few))]),
        ("index", lambda base: index.rows(base, *((2, 2_000) if quick else (index.CHANGES, 1 << 30)), rounds)),
        ("whole", lambda base: line.whole(base, rounds)),
        ("growth", lambda base: growth.rows(base, (200, 800), (10, 100), (50, 500)) if quick else growth.rows(base)),
        ("files", lambda base: files.rows(base, (1_000,), (500,)) if quick else files.rows(base)),
        ("dnf", lambda base: dnf.changes(base, "dnf", counts, rounds, is_small=quick)),
        ("dnf5", lambda base: dnf.changes(base, "dnf5", counts, few, is_small=quick)),
    ]
    machine = {"cores": os.cpu_count() or 1, "system": _system(), "python": platform.python_version()}
    rows: List[Row] = []
    missing: List[Missing] = []
    loads: Dict[str, float] = {}
    print("on {cores} cores, {system}, Python {python}\n\n{legend}".format(legend=LEGEND, **machine))
    # One for all: see World.put_back for what deleting does to the next section.
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        for name, section in [one for one in sections if options.only in (None, one[0])]:
            base = Path(directory) / name
            base.mkdir()
            found = list(section(base))
            rows += [one for one in found if isinstance(one, Row)]
            missing += [one for one in found if isinstance(one, Missing)]
            loads[name] = round(os.getloadavg()[0], 2)
            # What is measured is told and kept, whatever becomes of the next section.
            print(f"\n{table(found)}", flush=True)
            left_out = [asdict(one) for one in missing]
            document = {"machine": machine, "load": loads, "rows": [row.as_json() for row in rows], "missing": left_out}
            result.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    not_measured = f"; NOT MEASURED: {'; '.join(f'{one.section}: {one.what}' for one in missing)}" if missing else ""
    print(
        f"\n{goals(rows)}{not_measured}; load after each section:"
        f" {', '.join(f'{name} {load:g}' for name, load in loads.items())}"
    )


def _system() -> str:
    for text in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
        if text.startswith("PRETTY_NAME="):
            return text.partition("=")[2].strip('"')
    return platform.system()


if __name__ == "__main__":
    main()
