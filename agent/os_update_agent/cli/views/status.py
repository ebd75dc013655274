"""Where the node stands: what is open, what is owed, and what would happen if a value came."""

from dataclasses import asdict, dataclass
from shlex import quote
from typing import List, Mapping, Optional, Sequence

from os_update_agent.cli.views.base import (
    Document,
    KeyAge,
    called_key,
    damaged_documents,
    damaged_lines,
    old_line,
    run_document,
    work_lines,
)
from os_update_agent.cli.views.signals import signal_document, signal_line
from os_update_agent.model.deliveries import Delivery, OwedSignal
from os_update_agent.model.errors import Damaged
from os_update_agent.model.runs import History, Run
from os_update_agent.text.outcomes import shown, when
from os_update_agent.text.printable import joined

# Of several keys one that has received nothing for so long is probably that of a deleted stack.
IDLE_DAYS = 90


@dataclass(frozen=True)
class Ahead:
    """What would happen if the value came; None is any new value. ``packages`` would change, None for a new value and
    where the node stands at no recorded state to compare with; ``files`` says whether theirs are kept.
    """

    value: Optional[str]
    do: str
    packages: Optional[int]
    files: bool = True


def status_document(
    histories: Sequence[History],
    ahead: Mapping[str, Sequence[Ahead]],
    last: Optional[Run],
    changed: Optional[int],
    open_runs: Sequence[Run],
    signals: Sequence[OwedSignal],
    holder: Optional[str],
    reboot: Sequence[str],
    readable: Sequence[str] = (),
    unfinished: Sequence[Delivery] = (),
    lock_holder: Optional[str] = None,
    refused: str = "",
    damaged: Sequence[Damaged] = (),
    unsuitable: str = "",
    pending: Sequence[str] = (),
    ages: Optional[Mapping[str, KeyAge]] = None,
) -> Document:
    """``ahead`` has for each key what would happen; ``changed`` is how many packages the last run has changed.

    ``refused`` is why agent.conf has any new value refused; ``damaged`` are the records that cannot be read.
    ``unsuitable`` is why the packages of this node are not changed; ``pending`` are the package changes that a boot
    brings, a sentence each. ``ages`` has for each key when it has received its last delivery.

    Of the ``unfinished`` deliveries those wait that have no run yet, or none any more: the others are the open runs.
    """
    at_work = {run.id for run in open_runs}
    return {
        "keys": [
            _key_document(history, ahead.get(history.key, ()), (ages or {}).get(history.key, KeyAge()))
            for history in histories
        ],
        "last_run": run_document(last, changed) if last else None,
        "open_runs": [run_document(run, 0) for run in open_runs],
        "waiting": [_waiting_document(delivery) for delivery in unfinished if delivery.run not in at_work],
        "signals": {
            standing: [signal_document(signal) for signal in signals if signal.standing == standing]
            for standing in ("owed", "superseded", "refused")
        },
        "at_work": holder,
        "lock_holder": lock_holder,
        "reboot_required": list(reboot),
        "readable_by_all": list(readable),
        "refused": refused,
        "damaged": damaged_documents(damaged),
        "unsuitable": unsuitable,
        "pending": list(pending),
    }


def _key_document(history: History, ahead: Sequence[Ahead], age: KeyAge) -> Document:
    return {
        "key": history.key,
        "current": history.current,
        "moved_from": history.moved_from,
        "moved_by": history.moved_by,
        "if_it_came": [asdict(one) for one in ahead],
        **age.as_json(),
    }


def _waiting_document(delivery: Delivery) -> Document:
    return {
        "deployment": delivery.config_id,
        "key": delivery.key,
        "value": delivery.value,
        "action": delivery.action,
        "received": when(delivery.received),
    }


def _ahead(one: Document) -> str:
    if one["value"] is None:
        return f"if a new value comes: {one['do']}"
    details = [] if one["packages"] is None else [f"{one['packages']} packages change"]
    if not one["files"]:
        details.append("their files are pruned")
    detail = f" ({', '.join(details)})" if one["do"] == "restore" and details else ""
    return f"if {shown(one['value'])} comes: {one['do']}{detail}"


def _idle(key: Document, count: int) -> List[str]:
    """Return what to read about a key that has received nothing for long, where the node has several."""
    if key["old"]:
        return [old_line(key)]
    if count > 1 and key["idle_days"] >= IDLE_DAYS:
        forget = f"'os-update-agent forget {quote(key['key'])}'"
        return [f"nothing received for {key['idle_days']} days: if its stack is gone, {forget} forgets it"]
    return []


def _at_none(key: Document, document: Document) -> str:
    if key["key"] in {run["key"] for run in document["open_runs"]}:
        return "no recorded value: a run is on its way"
    if key["moved_by"] is not None:
        from_value = "" if key["moved_from"] is None else f"; it was at {shown(key['moved_from'])}"
        return f"no recorded value: run {key['moved_by']} of another key has moved its packages{from_value}"
    is_reached = any(one["value"] is not None for one in key["if_it_came"])
    return f"no recorded value: {'the last run ended in between' if is_reached else 'none was reached yet'}"


def status_text(document: Document) -> str:
    lines: List[str] = []
    for key in document["keys"]:
        lines.append(
            f"{called_key(key['key'])}: at"
            f" {shown(key['current']) if key['current'] is not None else _at_none(key, document)}"
        )
        lines += [f"  {_ahead(one)}" for one in key["if_it_came"]]
        lines += [f"  {line}" for line in _idle(key, len(document["keys"]))]
    if not lines:
        lines.append("nothing has been recorded on this node yet")
    last = document["last_run"]
    if last:
        counts = f"{'?' if last['changed'] is None else last['changed']} changed, {len(last['held_back'])} held back"
        lines.append(
            f"last run: {last['kind']} {shown(last['value'])}, started {last['started']}: {last['result']}, {counts}"
        )
        words = (*last["failure"].splitlines(), *last["notes"], f"log: {last['log']}")
        lines += [f"  {line}" for line in words if line]
    lines += work_lines(document)
    for delivery in document["waiting"]:
        lines.append(f"waiting: {shown(delivery['value'])} for key {delivery['key']}, received {delivery['received']}")
        if not document["at_work"]:
            lines.append("  no os-update-agent is at it: 'os-update-agent resume' takes it up")
    for standing in ("owed", "refused"):
        lines += [signal_line(standing, signal) for signal in document["signals"][standing]]
    if not document["signals"]["owed"]:
        lines.append("owed to Heat: nothing")
    if document["signals"]["superseded"]:
        lines.append(f"signals dropped because a newer delivery came: {len(document['signals']['superseded'])}")
    lines += [f"reboot required: {reason}" for reason in document["reboot_required"]] or ["reboot required: no"]
    return joined([*lines, *_of_the_node(document)])


def _of_the_node(document: Document) -> List[str]:
    """Return the lines about what an update meets on this node."""
    lines = [f"pending: {sentence}" for sentence in document["pending"]]
    lines += damaged_lines(document)
    if document["unsuitable"]:
        lines.append(f"every update is refused: {document['unsuitable']}")
    if document["refused"]:
        lines.append(f"every new value is refused until agent.conf is corrected: {document['refused']}")
    lines += [
        f"readable by all: {path} holds secrets of Heat's signals: give it mode 0600"
        for path in document["readable_by_all"]
    ]
    return lines
