"""os-update-agent history: the values that were tried and reached, and the runs."""

import argparse
import shutil
import sys
from typing import Optional

from os_update_agent.cli import views
from os_update_agent.cli.keys import age_of_key, histories, kept_states, key_of, recorded_keys
from os_update_agent.cli.output import answer
from os_update_agent.config.settings import Settings
from os_update_agent.model.errors import Unrecorded
from os_update_agent.runs.changes import number_changed_by
from os_update_agent.runtime.context import open_site


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the history of one key or of all. Returns the exit status; raises Unrecorded."""
    site = open_site(settings, reading=True)
    key = None if arguments.key is None else key_of(site, arguments.key)
    known = histories(site, key)
    if key is not None and not known:
        raise Unrecorded(f"nothing is recorded under {key!r}; {recorded_keys(site)}")
    runs = [(run, number_changed_by(site, run)) for run in site.ledger.runs(key, arguments.limit)]
    kept = {one.key: kept_states(site, one) for one in known}
    ages = {one.key: age_of_key(site, one.key) for one in known}
    document = views.history_document(known, runs, kept, site.ledger.damaged(), ages)
    return answer(arguments, document, views.history_text(document, _terminal_width()))


def _terminal_width() -> Optional[int]:
    """Return the width, None without a terminal: a program reads a pipe, and a pager scrolls."""
    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None
