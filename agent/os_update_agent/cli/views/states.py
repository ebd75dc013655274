"""One value, and the difference between two states. Pure."""

from typing import List, Optional, Sequence

from os_update_agent.cli.views.base import Document, run_document
from os_update_agent.model.packages import Change, PackageState
from os_update_agent.model.runs import Run
from os_update_agent.model.settings import SettingChange, Settings
from os_update_agent.text.outcomes import shown
from os_update_agent.text.phrases import listed, setting_line


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
    reached = f"reached {document['reached']}" if document["reached"] else f"never reached, tried {document['tried']}"
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
        lines.append(f"last run: {run['run']} ({run['kind']}), {run['result']}, log {run['log']}")
        if run["failure"]:
            lines.append(f"  {run['failure']}")
    if changes:
        lines.append(f"changed by that run: {len(changes)}")
        lines += [f"  {line}" for line in listed(changes)]
    return "\n".join(lines)


def settings_documents(settings: Settings) -> Optional[List[Document]]:
    """Return the settings outside of packages; None if they are unknown."""
    if settings is None:
        return None
    return [{"kind": setting.kind, "name": setting.name, "value": setting.as_json()} for setting in settings]


def diff_document(
    names: Sequence[str], changes: Sequence[Change], details: Sequence[Change], settings: Sequence[SettingChange]
) -> Document:
    return {
        "from": names[0],
        "to": names[1],
        "changes": [change.as_json() for change in changes],
        "details": [
            {
                "before": change.before.row() if change.before else None,
                "after": change.after.row() if change.after else None,
            }
            for change in details
        ],
        "settings": [change.as_json() for change in settings],
    }


def diff_text(changes: Sequence[Change], details: Sequence[Change], settings: Sequence[SettingChange]) -> str:
    if not (details or settings):
        return "no difference"
    lines = listed(changes)
    rest = len(details) - len(changes)
    if rest > 0:
        lines.append(f"and {rest} with the same version but another mark, hold or status (see --json)")
    lines += [setting_line(change) for change in settings]
    return "\n".join(lines)
