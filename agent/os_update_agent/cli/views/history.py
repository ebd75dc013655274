"""The history: the values of each key, and the runs. Pure."""

from typing import Collection, List, Mapping, Optional, Sequence, Tuple

from os_update_agent.cli.views.base import (
    Document,
    KeyAge,
    called_key,
    damaged_documents,
    damaged_lines,
    fitted,
    old_line,
    run_document,
)
from os_update_agent.decision.state_names import before_name
from os_update_agent.model.errors import Damaged
from os_update_agent.model.runs import History, Record, Run
from os_update_agent.text.outcomes import shown, when
from os_update_agent.text.printable import joined

SHOWN_WHY = 100


def history_document(
    histories: Sequence[History],
    runs: Sequence[Tuple[Run, Optional[int]]],
    kept: Mapping[str, Collection[int]],
    damaged: Sequence[Damaged] = (),
    ages: Optional[Mapping[str, KeyAge]] = None,
) -> Document:
    """Return the history. Each run comes with the number of packages that it has changed; ``kept`` maps each key to
    the states whose package files are kept; ``damaged`` are the records that cannot be read.
    """
    keys = [
        {**_key_document(history, kept[history.key]), **(ages or {}).get(history.key, KeyAge()).as_json()}
        for history in histories
    ]
    return {
        "keys": keys,
        "runs": [run_document(run, changed) for run, changed in runs],
        "damaged": damaged_documents(damaged),
    }


def _key_document(history: History, kept: Collection[int]) -> Document:
    values = [value_document(history, record, kept) for record in history.records]
    first = before_name(history)
    if first is not None and history.record(first) is None:
        values.insert(0, state_document(first, history.first_state, None, kept))
    return {"key": history.key, "current": history.current, "values": values}


def value_document(history: History, record: Record, kept: Collection[int]) -> Document:
    """Return a value that was tried or reached."""
    return {
        "value": record.value,
        "current": record.value == history.current,
        "reached": when(record.reached) if record.is_reached else None,
        "tried": when(record.tried),
        "kept": record.state in kept,
        "run": record.run or None,
    }


def state_document(name: str, state: Optional[int], run: Optional[Run], kept: Collection[int]) -> Document:
    """Return a state that has a name and no value; ``run`` is the one that left it, if any did."""
    return {
        "value": name,
        "current": False,
        "reached": when(run.finished) if run is not None else None,
        "tried": when(run.started) if run is not None else None,
        "kept": state in kept,
        "run": run.id if run is not None else None,
    }


def _count(changed: Optional[int]) -> str:
    return "?" if changed is None else str(changed)


def _why(failure: str) -> str:
    line = failure.partition("\n")[0]
    return line if len(failure) <= SHOWN_WHY else f"{line[:SHOWN_WHY]}..."


def history_text(document: Document, width: Optional[int] = None) -> str:
    """Return the text. Columns beyond the terminal's ``width`` (None: no terminal) are left out and named."""
    if not (document["keys"] or document["runs"] or document["damaged"]):
        return "nothing has been recorded on this node yet"
    lines: List[str] = []
    left_out: Tuple[str, ...] = ()
    for key in document["keys"]:
        lines += [called_key(key["key"]), *([f"  {old_line(key)}"] if key["old"] else [])]
        rows = [("", "VALUE", "REACHED", "TRIED", "FILES", "RUN")]
        for value in key["values"]:
            mark = "*" if value["current"] else ""
            is_state = bool(value["reached"]) or value["tried"] is None
            files = "kept" if value["kept"] else ("pruned" if is_state else "-")
            rows.append(
                (
                    mark,
                    shown(value["value"]),
                    value["reached"] or ("never" if value["tried"] else "-"),
                    value["tried"] or "-",
                    files,
                    str(value["run"] or "-"),
                )
            )
        shown_rows, gone = fitted(
            rows, width - 2 if width else None, dispensable=("TRIED", "RUN", "REACHED"), least={"VALUE": 24}
        )
        lines += [f"  {line}" for line in shown_rows] + [""]
        left_out += gone
    if document["runs"]:
        runs: List[Sequence[str]] = [("RUN", "KIND", "VALUE", "STARTED", "SECONDS", "RESULT", "CHANGED", "HELD", "WHY")]
        for run in document["runs"]:
            took = "-" if run["seconds"] is None else f"{run['seconds']:.1f}"
            counts = (_count(run["changed"]), str(len(run["held_back"])))
            why = _why(run["failure"])
            runs.append(
                (str(run["run"]), run["kind"], shown(run["value"]), run["started"], took, run["result"], *counts, why)
            )
        shown_rows, gone = fitted(
            runs, width, dispensable=("SECONDS", "HELD", "STARTED", "CHANGED", "KIND"), least={"WHY": 20, "VALUE": 24}
        )
        lines += shown_rows
        left_out += gone
        logs = next((run["log"] for run in document["runs"] if run["log"]), "")
        lines += [f"logs: {logs.rpartition('/')[0]}/NNNNNN.log, by the number of the run"] if logs else []
    lines += damaged_lines(document)
    if left_out:
        lines.append(f"left out here: {', '.join(dict.fromkeys(left_out))} ('history | cat' shows all)")
    return joined(lines).rstrip()
