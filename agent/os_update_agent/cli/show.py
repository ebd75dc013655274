"""os-update-agent show: what is recorded under one value."""

import argparse
from typing import Dict, List, Optional, Tuple

from os_update_agent.cli import views
from os_update_agent.cli.keys import kept_states, key_of, record_of
from os_update_agent.cli.output import answer, complain
from os_update_agent.config.settings import Settings
from os_update_agent.model.errors import Damaged
from os_update_agent.model.packages import Change
from os_update_agent.model.runs import Record, Run
from os_update_agent.runs.changes import changed_by
from os_update_agent.runtime.context import Site, open_site


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the record of VALUE. Returns the exit status; raises Unrecorded."""
    site = open_site(settings, reading=True)
    known = site.ledger.history(key_of(site, arguments.key))
    record = record_of(known, arguments.value)
    run, changes = _run_and_changes(site, record)
    state = site.ledger.state(record.state) if record.state is not None else None
    of_key = views.history_document([known], (), {known.key: kept_states(site, known)})["keys"][0]
    values: List[Dict[str, object]] = of_key["values"]
    entry = next(value for value in values if value["value"] == record.value)
    document = views.show_document(run, entry, state, changes)
    return answer(arguments, document, views.show_text(document, changes))


def _run_and_changes(site: Site, record: Record) -> Tuple[Optional[Run], Tuple[Change, ...]]:
    """Return the last run of the value and its changes. A damaged record is named, and hides nothing else."""
    run: Optional[Run] = None
    try:
        run = site.ledger.run(record.run) if record.run else None
        return run, changed_by(site, run) if run else ()
    except Damaged as damage:
        complain(str(damage))
        return run, ()
