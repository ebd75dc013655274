"""The verbs that read: each takes the settings and its arguments, prints its answer and returns the exit status."""

import argparse
import shutil
import sys
from typing import Dict, FrozenSet, List, Optional, Tuple

from os_update_agent.cli import views
from os_update_agent.cli.asked import HAND_KEY, answer, histories, key_of, record_of, state_of
from os_update_agent.config.policy import Policy
from os_update_agent.config.policy import by_hand as policy_by_hand
from os_update_agent.config.settings import Settings
from os_update_agent.decision.table import decide
from os_update_agent.heat.secret_audit import readable_by_all
from os_update_agent.model.errors import BadOption, Unrecorded
from os_update_agent.model.packages import Change, diff
from os_update_agent.model.runs import History
from os_update_agent.node.locks import node_holder
from os_update_agent.packages.state import visible
from os_update_agent.runs.changes import changed_by
from os_update_agent.runs.retention import at_hand, keep_of
from os_update_agent.runtime.context import Site, open_site

SHOWN_AHEAD = 5


def status(settings: Settings, arguments: argparse.Namespace) -> int:
    """what this node stands at, what is open or waits, what is owed to Heat"""
    site = open_site(settings, reading=True)
    runs = site.ledger.runs(limit=1)
    document = views.status_document(
        histories(site, None),
        {known.key: _ahead(site, known) for known in histories(site, None)},
        runs[0] if runs else None,
        len(changed_by(site, runs[0])) if runs else 0,
        site.ledger.open_runs(),
        site.ledger.signals(),
        node_holder(settings.lock),
        site.reboot_reasons(Policy()),
        readable_by_all(settings.collect_config),
        site.ledger.unfinished(),
        site.lock_holder(Policy()),
        _refused(settings),
    )
    return answer(arguments, document, views.status_text(document))


def _refused(settings: Settings) -> str:
    try:
        policy_by_hand("", HAND_KEY, settings.defaults)
    except BadOption as error:
        return str(error)
    return ""


def _ahead(site: Site, known: History) -> List[views.Ahead]:
    """For the values reached last, the current one included, and for a new one."""
    kept = _kept(site, known)
    current = known.record(known.current) if known.current is not None else None
    found = []
    for record in [record for record in known.records if record.is_reached][-SHOWN_AHEAD:]:
        packages = None
        if current is not None and current.state is not None and record.state is not None:
            packages = len(visible(diff(site.ledger.state(current.state), site.ledger.state(record.state))))
        found.append(
            views.Ahead(record.value, decide(known, "UPDATE", record.value).do, packages, record.state in kept)
        )
    return [*found, views.Ahead(None, "update", None)]


def _kept(site: Site, known: History) -> FrozenSet[int]:
    return at_hand(site.ledger, site.settings.archive, known, keep_of(site.ledger, known.key, site.settings.defaults))


def history(settings: Settings, arguments: argparse.Namespace) -> int:
    """the values that were tried and reached, and the runs"""
    site = open_site(settings, reading=True)
    known = histories(site, arguments.key)
    if arguments.key is not None and not known:
        raise Unrecorded(
            f"nothing is recorded under {arguments.key!r}; recorded keys:"
            f" {', '.join(map(repr, site.ledger.all_keys())) or 'none'}"
        )
    runs = [(run, len(changed_by(site, run))) for run in site.ledger.runs(arguments.key, arguments.limit)]
    document = views.history_document(known, runs, {one.key: _kept(site, one) for one in known})
    return answer(arguments, document, views.history_text(document, _terminal_width()))


def _terminal_width() -> Optional[int]:
    """None where nobody looks at a terminal: a program reads a pipe, and a pager scrolls."""
    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None


def show(settings: Settings, arguments: argparse.Namespace) -> int:
    """what is recorded under VALUE"""
    site = open_site(settings, reading=True)
    known = site.ledger.history(key_of(site, arguments.key))
    record = record_of(known, arguments.value)
    run = site.ledger.run(record.run) if record.run else None
    changes: Tuple[Change, ...] = changed_by(site, run) if run else ()
    state = site.ledger.state(record.state) if record.state is not None else None
    values: List[Dict[str, object]] = views.history_document([known], (), {known.key: _kept(site, known)})["keys"][0][
        "values"
    ]
    entry = next(value for value in values if value["value"] == record.value)
    document = views.show_document(run, entry, state, changes)
    return answer(arguments, document, views.show_text(document, changes))


def difference(settings: Settings, arguments: argparse.Namespace) -> int:
    """what differs between the states of two values; "now" is what is installed"""
    site = open_site(settings, reading=True)
    names = (arguments.a, arguments.b)
    first, second = (state_of(site, settings, arguments, name) for name in names)
    details = diff(first, second)
    changes = visible(details)
    return answer(arguments, views.diff_document(names, changes, details), views.diff_text(changes, details))
