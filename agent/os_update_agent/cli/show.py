"""os-update-agent show: what is recorded under one value, or about another state that has a name."""

import argparse
from typing import Optional, Tuple

from os_update_agent.cli import views
from os_update_agent.cli.keys import kept_states, key_of, named_state
from os_update_agent.cli.output import answer, complain
from os_update_agent.config.settings import Settings
from os_update_agent.model.errors import Damaged
from os_update_agent.model.packages import Change
from os_update_agent.model.runs import Run
from os_update_agent.runs.changes import changed_by
from os_update_agent.runtime.context import Site, open_site


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the record of VALUE. Returns the exit status; raises Unrecorded."""
    site = open_site(settings, reading=True)
    known = site.ledger.history(key_of(site, arguments.key))
    named = named_state(site, known.key, arguments.value)
    run, changes = _run_and_changes(site, named.record.run if named.record is not None else named.run)
    number = named.record.state if named.record is not None else named.state
    state = site.ledger.state(number) if number is not None else None
    kept = kept_states(site, known)
    if named.record is not None:
        entry = views.value_document(known, named.record, kept)
    else:
        entry = views.state_document(named.name, number, run, kept)
    document = views.show_document(run, entry, state, changes)
    return answer(arguments, document, views.show_text(document, changes))


def _run_and_changes(site: Site, number: Optional[int]) -> Tuple[Optional[Run], Tuple[Change, ...]]:
    """Return the run with the number and its changes. A damaged record is named, and hides nothing else."""
    run: Optional[Run] = None
    try:
        run = site.ledger.run(number) if number else None
        return run, changed_by(site, run) if run else ()
    except Damaged as damage:
        complain(str(damage))
        return run, ()
