"""What happened here: the values of each key, and the runs."""

from typing import List, Sequence

from os_update_agent.model import History, Run
from os_update_agent.report import shown, when
from os_update_agent.retention import kept_states
from os_update_agent.views.base import Document, run_document, table


def history_document(histories: Sequence[History], runs: Sequence[Run], keep: int) -> Document:
    return {"keys": [_key_document(history, keep) for history in histories], "runs": [run_document(run) for run in runs]}


def _key_document(history: History, keep: int) -> Document:
    kept = kept_states(history, keep)
    return {
        "key": history.key,
        "current": history.current,
        "values": [
            {
                "value": record.value,
                "current": record.value == history.current,
                "reached": when(record.reached) if record.is_reached else None,
                "tried": when(record.tried),
                "kept": record.state in kept,
                "run": record.run or None,
            }
            for record in history.records
        ],
    }


def history_text(document: Document) -> str:
    if not document["keys"]:
        return "nothing has been recorded on this node yet"
    lines: List[str] = []
    for key in document["keys"]:
        lines.append(f"{key['key']}")
        rows = [("", "VALUE", "REACHED", "TRIED", "FILES", "RUN")]
        for value in key["values"]:
            mark = "*" if value["current"] else ""
            files = "kept" if value["kept"] else ("pruned" if value["reached"] else "-")
            rows.append((mark, shown(value["value"]), value["reached"] or "never", value["tried"], files, str(value["run"] or "-")))
        lines += [f"  {line}" for line in table(rows)] + [""]
    if document["runs"]:
        rows = [("RUN", "KIND", "VALUE", "STARTED", "RESULT", "WHY")]
        for run in document["runs"]:
            why = run["failure"].splitlines()[0][:100] if run["failure"] else ""
            rows.append((str(run["run"]), run["kind"], shown(run["value"]), run["started"], run["result"], why))
        lines += table(rows)
    return "\n".join(lines).rstrip()
