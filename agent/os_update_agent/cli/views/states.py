"""One value, and the difference between two states. Pure."""

from typing import List, NamedTuple, Optional, Sequence

from os_update_agent.cli.views.base import Document, run_document
from os_update_agent.model.etc_files import Difference
from os_update_agent.model.packages import Change, PackageState
from os_update_agent.model.runs import Run
from os_update_agent.model.settings import MODULES_ARE_KNOWN, SettingChange, Settings
from os_update_agent.text.outcomes import shown
from os_update_agent.text.phrases import listed, setting_line
from os_update_agent.text.printable import joined


def show_document(
    run: Optional[Run], record: Document, state: Optional[PackageState], changes: Sequence[Change]
) -> Document:
    return {
        **record,
        "digest": state.digest if state else None,
        "packages": [package.row() for package in state.packages] if state else None,
        "settings": settings_documents(state.settings) if state else None,
        "last_run": run_document(run, len(changes)) if run else None,
        "changes": [change.as_json() for change in changes],
    }


def show_text(document: Document, changes: Sequence[Change]) -> str:
    never = f"never reached, tried {document['tried']}" if document["tried"] else "the state before a run"
    reached = f"reached {document['reached']}" if document["reached"] else never
    lines = [f"{shown(document['value'])}: {reached}{' (current)' if document['current'] else ''}"]
    if document["digest"]:
        files = "kept" if document["kept"] else "pruned: it can be restored only with what the repositories still have"
        settings = document["settings"]
        more = "" if settings is None else f" and {len(settings)} settings outside of packages"
        lines += [
            f"state: {len(document['packages'])} packages{more}, digest {document['digest']}",
            f"package files: {files}",
        ]
    run = document["last_run"]
    if run:
        agent = f", os-update-agent {run['agent']}" if run["agent"] else ""
        lines.append(f"last run: {run['run']} ({run['kind']}), {run['result']}{agent}, log {run['log']}")
        if run["failure"]:
            lines.append(f"  {run['failure']}")
    if changes:
        lines.append(f"changed by that run: {len(changes)}")
        lines += [f"  {line}" for line in listed(changes)]
    return joined(lines)


def settings_documents(settings: Settings) -> Optional[List[Document]]:
    """Return the settings outside of packages; None if they are unknown."""
    if settings is None:
        return None
    shown = (setting for setting in settings if setting != MODULES_ARE_KNOWN)
    return [{"kind": setting.kind, "name": setting.name, "value": setting.as_json()} for setting in shown]


class Compared(NamedTuple):
    """The difference between two states.

    Attributes:
        changes: The changes of versions and builds.
        details: Those of all rows.
        settings: The settings outside of packages that differ.
        files: The files below /etc that differ (None: one of the states has no listing).
    """

    changes: Sequence[Change]
    details: Sequence[Change]
    settings: Sequence[SettingChange]
    files: Optional[Sequence[Difference]]


def diff_document(names: Sequence[str], compared: Compared) -> Document:
    files = compared.files
    return {
        "from": names[0],
        "to": names[1],
        "changes": [change.as_json() for change in compared.changes],
        "details": [
            {
                "before": change.before.row() if change.before else None,
                "after": change.after.row() if change.after else None,
            }
            for change in compared.details
        ],
        "settings": [change.as_json() for change in compared.settings],
        "files": None if files is None else [{"path": one.path, "kind": one.kind} for one in files],
    }


def diff_text(compared: Compared) -> str:
    if not (compared.details or compared.settings or compared.files):
        return "no difference"
    lines = listed(compared.changes)
    rest = len(compared.details) - len(compared.changes)
    if rest > 0:
        lines.append(f"and {rest} with the same version but another mark, hold or status (see --json)")
    lines += [setting_line(change) for change in compared.settings]
    lines += [f"{one.path}: {one.kind}" for one in compared.files or ()]
    return joined(lines)
