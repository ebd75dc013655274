"""The rows of the table: what was measured, beside what, and was the goal met; and what was not measured, and why."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from bench.measuring import Figures

LEGEND = """\
wall    until the command has ended; medians
cpu     processor time of all processes, also of those that the command leaves running
memory  the largest single process: at least the 13 MB of the measuring itself. With dnf 4 and 5 the agent's largest
        is the child process that has loaded dnf; the hook and the worker, which wait for it, are smaller and not
        added. What grows runs in a process of its own for each figure, with the agent's modules and what the work
        is given, and counts the programs that it starts.
ratio   of the processor times, to the command that the goal names; the goals are ratios, too"""


@dataclass(frozen=True)
class Row:
    """``note`` says what else there is to know (size, growth); ``goals`` are (what, is it met)."""

    section: str
    what: str
    figures: Figures
    ratio: Optional[float] = None
    beside: str = ""
    note: str = ""
    goals: Tuple[Tuple[str, bool], ...] = ()

    def against(self, other: Figures, beside: str, *allowed: float) -> "Row":
        """The ratio to a peer that was measured in the same rounds; each goal is at most so many times it."""
        ratio = self.figures.cpu / other.cpu
        goals = [(f"<= {times:g} x {beside}", ratio <= times) for times in allowed]
        return replace(self, ratio=ratio, beside=beside, goals=(*self.goals, *goals))

    def small(self, megabytes: float, what: str = "") -> "Row":
        """The largest process has at most so many megabytes; ``what`` names where that figure comes from."""
        goal = f"memory at most {megabytes:.3g} MB{f', {what}' if what else ''}"
        return replace(self, goals=(*self.goals, (goal, self.figures.peak <= megabytes)))

    def as_json(self) -> Dict[str, Any]:
        return {**asdict(self), "goals": [{"goal": goal, "met": met} for goal, met in self.goals]}


@dataclass(frozen=True)
class Missing:
    """What was not measured, and why."""

    section: str
    what: str
    why: str


def table(found: Sequence[Union[Row, Missing]]) -> str:
    lines: List[str] = []
    section = ""
    for row in found:
        if row.section != section:
            section = row.section
            lines += ["", f"{section:54} {'wall':>9} {'cpu':>9} {'memory':>9} {'ratio':>7}"]
        lines.append(
            f"  {row.what:52} {_columns(row) if isinstance(row, Row) else f'NOT MEASURED: {row.why}'}".rstrip()
        )
    return "\n".join(lines).lstrip("\n")


def _columns(row: Row) -> str:
    figures = row.figures
    ratio = f"{row.ratio:6.2f}x" if row.ratio is not None else f"{'':7}"
    notes = [row.note, *(f"{'met' if met else 'MISSED'}: {goal}" for goal, met in row.goals)]
    return (
        f"{_time(figures.seconds)} {_time(figures.cpu)} {figures.peak:7.1f}MB {ratio}  {'; '.join(filter(None, notes))}"
    )


def goals(rows: Sequence[Row]) -> str:
    met = [met for row in rows for _, met in row.goals]
    return f"{sum(met)} of {len(met)} goals met"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:7.1f}ms" if seconds < 0.1 else f"{seconds * 1000:7.0f}ms"
