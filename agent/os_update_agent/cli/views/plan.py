"""A plan as a release note."""

from dataclasses import dataclass, field
from typing import List, Optional, Sequence, Tuple

from os_update_agent.cli.views.base import Document, held_documents, run_document, work_lines
from os_update_agent.model.packages import Change
from os_update_agent.model.plans import Plan
from os_update_agent.model.runs import Run
from os_update_agent.runs.plan import Forecast
from os_update_agent.text.outcomes import shown
from os_update_agent.text.phrases import amount, in_brackets, listed, named, not_there
from os_update_agent.text.printable import joined

_GROUPS = (("change", "changed"), ("install", "new"), ("remove", "removed"))


# What an operation is called, and what it would do with the changes of an update where it makes none of them.
_NAMES = {
    "update": "an update",
    "download": "a download",
    "assess": "an assessment",
    "stop": "a stop",
    "start": "a start",
}
_MAKES_NONE = {
    "download": (
        "would fetch what this update takes, and change no package:",
        "would fetch nothing: there is nothing to update",
    ),
    "assess": ("would report this update, and change no package:", "would report that there is nothing to update"),
}


@dataclass(frozen=True)
class Planned:
    """The answer of ``plan``.

    ``operation`` is "nothing" if nothing would be done; ``why`` is the reason. ``units`` are services, each with its
    state and whether that state would change.
    """

    what: str
    operation: str = "update"
    found: Forecast = field(default_factory=Forecast)
    units: Tuple[Tuple[str, str, bool], ...] = ()
    why: str = ""

    @property
    def changes_something(self) -> bool:
        plan = self.found.plan
        is_planned = plan.changes or plan.torn or plan.settings or self.found.unfinished
        return bool(is_planned) or any(changes for _, _, changes in self.units)


def called(operation: str, value: str) -> str:
    """An operation of a value in words, of any value where that is empty."""
    return (
        f"{_NAMES[operation]} {'to' if operation == 'update' else 'for'} {shown(value)}" if value else _NAMES[operation]
    )


def plan_document(
    planned: Planned,
    archive: str,
    *,
    at_work: Optional[str] = None,
    lock_holder: Optional[str] = None,
    open_runs: Sequence[Run] = (),
    pending: Sequence[str] = (),
    refused: str = "",
    options: Optional[Document] = None,
) -> Document:
    """Return the document of ``plan``.

    ``archive`` is the option: with "required", a run that could not be undone does not start. ``at_work`` names the
    process that holds the node, ``lock_holder`` another one that holds the package manager's locks. ``pending`` are the
    package changes that a boot brings, a sentence each; for one of them the run may be ``refused``. ``options`` are
    those that count, as options_document() returns them.
    """
    found, plan = planned.found, planned.found.plan
    return {
        "what": planned.what,
        "operation": planned.operation,
        "why": planned.why,
        "units": [{"name": name, "active": active, "changes": changes} for name, active, changes in planned.units],
        "changes": [change.as_json() for change in plan.changes],
        "held_back": held_documents(plan.held_back),
        "removes_foreign": list(plan.removes_foreign),
        "settings": list(plan.settings),
        "other_keys": list(plan.other_keys),
        "download_bytes": plan.download or 0,
        "disk_bytes": plan.growth if plan.changes else 0,
        "reboot_expected": list(found.reboot),
        "services_expected": list(found.services),
        "can_be_done": not (found.missing or found.no_room or refused or found.reason or _is_refused(archive, planned)),
        "reason": found.reason,
        "refused": refused,
        "missing": list(found.missing),
        "no_room": found.no_room,
        "not_checked": list(found.unchecked),
        **_way_back(plan),
        "interrupted": found.unfinished is not None,
        "repaired_first": sorted({*plan.torn, *(found.unfinished.names if found.unfinished else ())}),
        "unmatched": list(plan.unmatched),
        "pending": list(pending),
        "at_work": at_work,
        "lock_holder": lock_holder,
        "open_runs": [run_document(run, 0) for run in open_runs],
        "options": options or {},
    }


def _way_back(plan: Plan) -> Document:
    return {
        "can_be_undone": plan.can_be_undone,
        "undo_refused": list(plan.undo_refused),
        "rebuilt": list(plan.rebuilt),
        "lost": list(plan.lost),
    }


def _is_refused(archive: str, planned: Planned) -> bool:
    """Does the run not start because it could not be undone? A way back is refused only without a file."""
    plan = planned.found.plan
    return archive == "required" and bool(plan.lost or (plan.undo_refused and planned.operation != "restore"))


def plan_text(document: Document, changes: Sequence[Change]) -> str:
    """The document for a person; ``changes`` are its own, in full."""
    if document["operation"] in ("stop", "start"):
        return joined([*_services(document), *_unsettled(document)])
    if document["operation"] == "nothing":
        return joined([f"{document['what']} would do nothing: {document['why']}", *_unsettled(document)])
    security = sum(change.is_security for change in changes)
    described = dict(zip(changes, listed(changes)))
    why = f" ({document['why']})" if document["why"] else ""
    lines = [f"{document['what']}{why} {_head(document['operation'], bool(changes or document['settings']))}"]
    for kind, word in _GROUPS:
        group = [change for change in changes if change.kind == kind]
        if group:
            lines += [
                f"{word} ({len(group)}):",
                *(f"  {described[change]}" for change in group),
            ]
    if document["settings"]:
        lines.append(f"settings outside of the packages to put back: {named(document['settings'])}")
    lines += document["other_keys"]
    if document["held_back"]:
        lines.append(f"held back ({len(document['held_back'])}):")
        lines += [f"  {item['name']}: {item['reason']}" for item in document["held_back"]]
    if document["interrupted"] or document["repaired_first"]:
        lines.append(
            f"an earlier transaction was not completed{in_brackets(document['repaired_first'])}; that is repaired"
            " first, and this plan may change then"
        )
    if document["unmatched"]:
        lines.append(not_there(document["unmatched"]))
    lines.append(_counts(changes, security, len(document["held_back"])))
    return joined([*lines, *(_consequences(document) if changes else _missing(document)), *_unsettled(document)])


def _head(operation: str, changes: bool) -> str:
    some, none = _MAKES_NONE.get(operation, ("would change:", "would change nothing"))
    return some if changes else none


def _services(document: Document) -> List[str]:
    units, verb, why = document["units"], document["operation"], f" ({document['why']})" if document["why"] else ""
    if not any(unit["changes"] for unit in units):
        head = f"{document['what']} would find nothing to {verb}, and touch no package{why}:"
    else:
        head = f"{document['what']} would {verb} services, and touch no package{why}:"
    return [
        head,
        *(f"  {unit['name']}: {unit['active']}{'' if unit['changes'] else ', and stays so'}" for unit in units),
    ]


def _unsettled(document: Document) -> List[str]:
    pending = [f"pending: {sentence}" for sentence in document["pending"]]
    if not (document["at_work"] or document["lock_holder"] or document["open_runs"]):
        return pending
    return [*pending, *work_lines(document), "this plan may change once that run has finished"]


def _consequences(document: Document) -> List[str]:
    if document["operation"] == "download":
        return [f"download: {amount(document['download_bytes'])}", *_missing(document)]
    disk = document["disk_bytes"]
    grows = "not known before the download" if disk is None else f"{'+' if disk > 0 else ''}{amount(disk)}"
    lines = [f"download: {amount(document['download_bytes'])}; on the disk: {grows}"]
    if document["removes_foreign"]:
        lines.append(f"would remove packages that the agent did not install: {named(document['removes_foreign'])}")
    lines.append(
        "reboot:"
        f" {'expected, for ' + named(document['reboot_expected']) if document['reboot_expected'] else 'not expected'}"
    )
    if document["services_expected"]:
        lines.append(f"services that would still run replaced code: {named(document['services_expected'])}")
    return [*lines, *_missing(document), _undo(document)]


def _missing(document: Document) -> List[str]:
    nowhere = f"no archive or repository has {named(document['missing'])}" if document["missing"] else ""
    reasons = (nowhere, document["no_room"], document["reason"], document["refused"])
    return [
        *(f"cannot be done: {why}" for why in reasons if why),
        *(f"not checked: {sentence}" for sentence in document["not_checked"]),
    ]


def _undo(document: Document) -> str:
    is_ours = not (
        document["can_be_done"]
        or document["missing"]
        or document["no_room"]
        or document["reason"]
        or document["refused"]
    )
    refused = "; the run would not start (archive: required)" if is_ours else ""
    if document["lost"]:
        files = f"the package file of the installed version is no longer available: {named(document['lost'])}"
        return f"can be undone: no, {files}{refused}"
    if document["undo_refused"]:
        return f"can be undone: no, {'; '.join(document['undo_refused'])}{refused}"
    if document["rebuilt"]:
        return (
            "can be undone: yes, with files rebuilt from the node, local edits included, for"
            f" {named(document['rebuilt'])}"
        )
    return f"can be undone: yes{', as far as it was checked' if document['not_checked'] else ''}"


def _counts(changes: Sequence[Change], security: int, held: int) -> str:
    counts = {word: sum(change.kind == kind for change in changes) for kind, word in _GROUPS}
    marked = f" ({security} of them security updates)" if security else ""
    return f"{counts['changed']} changed, {counts['new']} new, {counts['removed']} removed{marked}, {held} held back"
