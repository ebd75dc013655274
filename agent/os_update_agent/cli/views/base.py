"""The parts of every view: documents for --json, and tables for people. Pure."""

import json
from shlex import quote
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from os_update_agent.model.errors import Damaged
from os_update_agent.model.packages import HeldBack
from os_update_agent.model.runs import Run
from os_update_agent.text.outcomes import shown, when
from os_update_agent.text.printable import printable, printable_json

# 1: the first published schema. New fields keep the number; a removed or changed field needs a new one.
JSON_SCHEMA = 1

Document = Dict[str, Any]


class KeyAge(NamedTuple):
    """The age of a key: when it received its last delivery (seconds since the epoch), and the days since then.

    ``is_old``: that is longer than the option forget_after allows, so no package files are kept for the key.
    """

    received: Optional[float] = None
    idle_days: int = 0
    is_old: bool = False

    def as_json(self) -> Document:
        received = when(self.received) if self.received is not None else None
        return {"received": received, "idle_days": self.idle_days, "old": self.is_old}


def called_key(key: str) -> str:
    """Return a key as the beginning of a line. One with blanks is quoted: it could read like a line of ours."""
    return repr(key) if any(one.isspace() for one in key) else key


def old_line(key: Document) -> str:
    """Return what to read about an old key, of its document."""
    return (
        f"old: nothing received since {key['received']} ({key['idle_days']} days; forget_after), so no package files"
        f" are kept for it; 'os-update-agent forget {quote(key['key'])}' forgets it"
    )


def as_json(document: Mapping[str, Any], *, only_ascii: bool = False) -> str:
    """Return the document as JSON that a terminal can show."""
    return printable_json(json.dumps({"schema": JSON_SCHEMA, **document}, indent=1, ensure_ascii=only_ascii))


def table(rows: Iterable[Sequence[str]]) -> List[str]:
    """Return the lines of a table; the first row is the heading."""
    rows = [list(map(printable, row)) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def fitted(
    rows: Sequence[Sequence[str]], width: Optional[int], *, dispensable: Sequence[str], least: Mapping[str, int]
) -> Tuple[List[str], Tuple[str, ...]]:
    """Return the lines of a table of at most ``width`` columns (None: any), and the headings that were left out.

    ``dispensable`` are headings that may be left out, the least important first. ``least`` maps the headings of columns
    that may be shortened, in this order, to their least width. A dispensable column is left out first.
    """
    if width is None:
        return table(rows), ()
    cells, left_out = [list(map(printable, row)) for row in rows], []

    def widths(*, shortest: bool) -> List[int]:
        wide = [max(map(len, column)) for column in zip(*cells)]
        return [min(own, least.get(heading, own)) if shortest else own for heading, own in zip(cells[0], wide)]

    def excess(*, shortest: bool = False) -> int:
        return sum(widths(shortest=shortest)) + 2 * (len(cells[0]) - 1) - width

    for heading in dispensable:
        if excess(shortest=True) > 0:
            place = cells[0].index(heading)
            cells = [row[:place] + row[place + 1 :] for row in cells]
            left_out.append(heading)
    for heading, shortest in least.items():
        place = cells[0].index(heading)
        room = max(shortest, widths(shortest=False)[place] - max(0, excess()))
        for row in cells:
            row[place] = row[place] if len(row[place]) <= room else f"{row[place][: room - 3]}..."
    return [line[:width] for line in table(cells)], tuple(left_out)


def damaged_documents(damaged: Iterable[Damaged]) -> List[Document]:
    return [{"record": one.record, "why": str(one)} for one in damaged]


def damaged_lines(document: Document) -> List[str]:
    """Name each record that cannot be read, of a document with ``damaged``."""
    return [f"damaged: {one['why']}" for one in document["damaged"]]


def run_document(run: Run, changed: Optional[int]) -> Document:
    """Return a run. ``changed`` is the number of packages that it has changed; None if a damaged record hides it."""
    return {
        "run": run.id,
        "key": run.key,
        "value": run.value,
        "kind": run.kind,
        "phase": run.phase,
        "result": run.result,
        "started": when(run.started),
        "finished": when(run.finished) if run.finished else None,
        "seconds": max(0.0, round(run.finished - run.started, 1)) if run.finished else None,
        "changed": changed,
        "failure": run.failure,
        "notes": list(run.notes),
        "held_back": held_documents(run.plan.held_back),
        "not_restorable": list(run.plan.lost),
        "undo_refused": list(run.plan.undo_refused),
        "files_differ": list(run.etc_differs),
        "log": run.log,
        "agent": run.agent,
    }


def work_lines(document: Document) -> List[str]:
    """Return the lines about locks and open runs, of a document with at_work, lock_holder and open_runs."""
    lines = [f"at work: {'; '.join(filter(None, (document['at_work'], document['lock_holder']))) or 'nobody'}"]
    for run in document["open_runs"]:
        log = run["log"] or "none yet"
        lines.append(
            f"open: run {run['run']} ({run['kind']} {shown(run['value'])}) is in phase {run['phase']}; log: {log}"
        )
        if not document["at_work"]:
            lines.append("  no os-update-agent is at it: 'os-update-agent resume' finishes or undoes it")
    return lines


def held_documents(held_back: Iterable[HeldBack]) -> List[Document]:
    return [{"name": item.name, "reason": item.reason} for item in held_back]
