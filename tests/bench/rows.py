"""A figure of the table: what was measured, beside what, and was the goal met."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Dict, List, Optional, Sequence, Tuple

from bench.measuring import Figures


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

    def against(self, other: Figures, beside: str, times: float, plus: float = 0.0) -> "Row":
        """The ratio to a peer that was measured in the same round; the goal is at most ``times`` it and ``plus`` seconds more."""
        goal = f"<= {times:g} x {beside}" + (f" + {plus:g} s" if plus else "")
        met = self.figures.seconds <= times * other.seconds + plus
        note = f"cpu {self.figures.cpu / other.cpu:.2f}x" if self.figures.cpu and other.cpu else self.note
        return replace(self, ratio=self.figures.seconds / other.seconds, beside=beside, note=note, goals=(*self.goals, (goal, met)))

    def within(self, seconds: float, goal: str) -> "Row":
        return replace(self, goals=(*self.goals, (goal, self.figures.seconds <= seconds)))

    def small(self, megabytes: float) -> "Row":
        return replace(self, goals=(*self.goals, (f"at most {megabytes:g} MB", self.figures.peak <= megabytes)))

    def as_json(self) -> Dict[str, Any]:
        return {**asdict(self), "goals": [{"goal": goal, "met": met} for goal, met in self.goals]}


def table(rows: Sequence[Row]) -> str:
    lines: List[str] = []
    section = ""
    for row in rows:
        if row.section != section:
            section = row.section
            lines += ["", f"{section:54} {'wall':>9} {'cpu':>9} {'memory':>9} {'ratio':>7}"]
        figures = row.figures
        cpu = f"{figures.cpu * 1000:7.0f}ms" if figures.cpu else f"{'':9}"
        peak = f"{figures.peak:7.1f}MB" if figures.peak else f"{'':9}"
        ratio = f"{row.ratio:6.2f}x" if row.ratio is not None else f"{'':7}"
        missed = "; ".join(f"MISSED: {goal}" for goal, met in row.goals if not met)
        lines.append(
            f"  {row.what:52} {_time(figures.seconds)} {cpu} {peak} {ratio}  {'; '.join(filter(None, (row.note, missed)))}".rstrip()
        )
    return "\n".join(lines).lstrip("\n")


def goals(rows: Sequence[Row]) -> str:
    met = [met for row in rows for _, met in row.goals]
    return f"{sum(met)} of {len(met)} goals met"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:7.1f}ms" if seconds < 0.1 else f"{seconds * 1000:7.0f}ms"
