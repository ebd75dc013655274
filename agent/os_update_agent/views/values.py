"""What the reading commands show: one document for --json, and its text for a person. Pure."""

import json
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence

from os_update_agent.model import Change, History, OwedSignal, PackageState, Run
from os_update_agent.report import shown, when
from os_update_agent.retention import kept_states
from os_update_agent.wording import described, named

JSON_SCHEMA = 1

Document = Dict[str, Any]


def as_json(document: Mapping[str, Any]) -> str:
    return json.dumps({"schema": JSON_SCHEMA, **document}, indent=1, ensure_ascii=False)


def table(rows: Iterable[Sequence[str]]) -> List[str]:
    """Rows in columns, the first row being the heading."""
    rows = [list(row) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def run_document(run: Run) -> Document:
    return {
        "run": run.id,
        "key": run.key,
        "value": run.value,
        "kind": run.kind,
        "phase": run.phase,
        "result": run.result,
        "started": when(run.started),
        "finished": when(run.finished) if run.finished else None,
        "failure": run.failure,
        "notes": list(run.notes),
        "held_back": [{"name": item.name, "reason": item.reason} for item in run.held_back],
        "not_restorable": list(run.not_restorable),
        "log": run.log,
    }


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


def status_document(
    histories: Sequence[History],
    last: Optional[Run],
    open_runs: Sequence[Run],
    signals: Sequence[OwedSignal],
    holder: Optional[str],
    reboot: Sequence[str],
) -> Document:
    return {
        "keys": [{"key": history.key, "current": history.current} for history in histories],
        "last_run": run_document(last) if last else None,
        "open_runs": [run_document(run) for run in open_runs],
        "signals": {
            "owed": [_signal_document(signal) for signal in signals if signal.standing == "owed"],
            "superseded": [_signal_document(signal) for signal in signals if signal.standing == "superseded"],
            "refused": [_signal_document(signal) for signal in signals if signal.standing == "refused"],
        },
        "at_work": holder,
        "reboot_required": list(reboot),
    }


def _signal_document(signal: OwedSignal) -> Document:
    return {"deployment": signal.config_id, "tries": signal.tries, "last_answer": signal.last_answer, "since": when(signal.updated)}


def status_text(document: Document) -> str:
    lines = []
    for key in document["keys"]:
        at = shown(key["current"]) if key["current"] is not None else "no recorded value: the last run ended in between"
        lines.append(f"{key['key']}: at {at}")
    if not lines:
        lines.append("nothing has been recorded on this node yet")
    last = document["last_run"]
    if last:
        lines.append(f"last run: {last['kind']} {shown(last['value'])}, started {last['started']}: {last['result']}")
        if last["failure"]:
            lines += [f"  {last['failure']}", f"  log: {last['log']}"]
    lines.append(f"at work: {document['at_work'] or 'nobody'}")
    for run in document["open_runs"]:
        lines.append(f"open: run {run['run']} ({run['kind']} {shown(run['value'])}) is in phase {run['phase']}")
    for standing, advice in (
        ("owed", "'os-update-agent resume' tries again"),
        ("refused", "Heat does not take it: 'openstack stack resource signal' tells it by hand"),
    ):
        for signal in document["signals"][standing]:
            lines.append(f"signal {standing}: deployment {signal['deployment']}: {signal['last_answer'] or 'not tried yet'}; {advice}")
    if document["signals"]["superseded"]:
        lines.append(f"signals dropped because a newer delivery came: {len(document['signals']['superseded'])}")
    lines += [f"reboot required: {reason}" for reason in document["reboot_required"]]
    return "\n".join(lines)


def show_document(run: Optional[Run], record: Document, state: Optional[PackageState], changes: Sequence[Change]) -> Document:
    return {
        **record,
        "digest": state.digest if state else None,
        "packages": [package.row() for package in state.packages] if state else None,
        "last_run": run_document(run) if run else None,
        "changes": [change.as_json() for change in changes],
    }


def show_text(document: Document, changes: Sequence[Change]) -> str:
    reached = f"reached {document['reached']}" if document["reached"] else f"never reached, tried {document['tried']}"
    lines = [f"{shown(document['value'])}: {reached}{' (current)' if document['current'] else ''}"]
    if document["digest"]:
        files = "kept" if document["kept"] else "pruned: it can be restored only with what the repositories still have"
        lines += [f"state: {len(document['packages'])} packages, digest {document['digest']}", f"package files: {files}"]
    run = document["last_run"]
    if run:
        lines.append(f"last run: {run['run']} ({run['kind']}), {run['result']}, log {run['log']}")
        if run["failure"]:
            lines.append(f"  {run['failure']}")
    if changes:
        lines.append(f"changed by that run: {len(changes)}")
        lines += [f"  {described(change)}" for change in changes]
    return "\n".join(lines)


def diff_document(names: Sequence[str], changes: Sequence[Change], details: Sequence[Change]) -> Document:
    return {
        "from": names[0],
        "to": names[1],
        "changes": [change.as_json() for change in changes],
        "details": [
            {"before": change.before.row() if change.before else None, "after": change.after.row() if change.after else None}
            for change in details
        ],
    }


def diff_text(changes: Sequence[Change], details: Sequence[Change]) -> str:
    if not details:
        return "no difference"
    lines = [described(change) for change in changes]
    rest = len(details) - len(changes)
    if rest > 0:
        lines.append(f"and {rest} with the same version but another mark, hold or status (see --json)")
    return "\n".join(lines)


def plan_document(changes: Sequence[Change], held: Mapping[str, str], lost: Sequence[str], foreign: Sequence[str], what: str) -> Document:
    return {
        "what": what,
        "changes": [change.as_json() for change in changes],
        "held_back": [{"name": name, "reason": reason} for name, reason in held.items()],
        "not_in_archive_nor_repository": list(lost),
        "removes_foreign": list(foreign),
    }


def plan_text(document: Document, changes: Sequence[Change]) -> str:
    lines = [document["what"]]
    kinds = [("upgraded", "change"), ("new", "install"), ("removed", "remove")]
    counts = ", ".join(f"{sum(change.kind == kind for change in changes)} {word}" for word, kind in kinds)
    lines += [f"  {described(change)}" for change in changes]
    lines += [f"  held back: {item['name']}: {item['reason']}" for item in document["held_back"]]
    lines.append(f"{counts}, {len(document['held_back'])} held back")
    if document["removes_foreign"]:
        lines.append(f"would remove what no run of the agent installed: {named(document['removes_foreign'])}")
    lost = document["not_in_archive_nor_repository"]
    if lost:
        lines.append(f"neither archive nor repository has the present file, it would be rebuilt from the node: {named(lost)}")
    elif changes:
        lines.append("can be undone: yes")
    return "\n".join(lines)
