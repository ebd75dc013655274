"""The sequence: run each suite on each release, and print the table. See the package's docstring."""

import os
import re
import sys
from typing import Dict, List, Sequence, Tuple

from matrix import roots
from matrix.suites import ALL, Outcome, arguments_of, run, suites_of


def main() -> int:
    if os.geteuid() != 0:
        print("this needs root", file=sys.stderr)
        return 2
    releases, suites, options = split(sys.argv[1:])
    table: Dict[Tuple[str, str], Outcome] = {}
    for release in releases:
        for suite in (suite for suite in suites if suite in suites_of(release)):
            outcome = run(release, arguments_of(release, suite, options))
            table[release, suite] = outcome
            print(f"{release} {suite}: {outcome.text}", *outcome.failures, sep="\n  ", flush=True)
    print("", *rows(table, releases, suites), sep="\n")
    return int(not all(outcome.is_good for outcome in table.values()))


def split(arguments: Sequence[str]) -> Tuple[List[str], List[str], List[str]]:
    """Return the roots, the suites, and pytest's options; all of them where none is named. Raises SystemExit."""
    end = next((place for place, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    names, options = arguments[:end], arguments[end:]
    unknown = [name for name in names if name not in (*roots.NAMES, *ALL)]
    if unknown:
        sys.exit(f"unknown: {', '.join(unknown)}; there are: {', '.join((*roots.NAMES, *ALL))}")
    releases = [name for name in roots.NAMES if name in names] or list(roots.NAMES)
    return releases, [name for name in ALL if name in names] or list(ALL), list(options)


def rows(table: Dict[Tuple[str, str], Outcome], releases: Sequence[str], suites: Sequence[str]) -> List[str]:
    """Return the lines of the table: a row for each root, a column for each suite; "-" where a root has no such one."""
    form = "{:<22}" + "  {:<22}" * len(suites)
    lines = [form.format("passed/failed/skipped", *suites)]
    for release in releases:
        cells = []
        for suite in suites:
            if (release, suite) not in table:
                cells.append("-")
                continue
            outcome = table[release, suite]
            numbers = f"{outcome.passed}/{len(outcome.failures)}/{outcome.skipped}"
            cells.append(f"{numbers} {outcome.seconds:.0f} s")
        lines.append(form.format(f"{release} ({version(release)})", *cells))
    return [line.rstrip() for line in lines]


def version(name: str) -> str:
    """Return the name and version of a root's package manager."""
    manager = "dnf" if name.endswith(roots.DNF) else "apt"
    status = (roots.directory() / name / "var/lib/dpkg/status").read_text(encoding="utf-8")
    found = re.search(rf"^Package: {manager}\n(?:.+\n)*?Version: (.+)$", status, re.MULTILINE)
    return f"{manager} {found[1] if found else '?'}"


if __name__ == "__main__":
    sys.exit(main())
