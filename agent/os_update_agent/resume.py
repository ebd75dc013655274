"""After a crash, a boot, a lost connection: finish what is open, and send what is owed. Called under the node's lock."""

import logging
from typing import Tuple

from os_update_agent import update
from os_update_agent.conclusion import outcome_of, store
from os_update_agent.model import OwedSignal, Run
from os_update_agent.outbox import ONE_TRY, Patience, send_owed
from os_update_agent.site import Site

log = logging.getLogger(__name__)


def resume(site: Site, patience: Patience = ONE_TRY) -> Tuple[OwedSignal, ...]:
    """Finish the open runs, then send what is owed; returns what stays owed.

    Whoever holds the node's lock is the only one at work, so a run that is open has lost its worker. One try for each signal
    by default: a lost connection must not hold up the work that has come.
    """
    for run in site.ledger.open_runs():
        _finish(site, run)
    return send_owed(site, patience)


def _finish(site: Site, run: Run) -> None:
    log.warning("run=%d was cut off in phase=%s: it is taken up again", run.id, run.phase)
    note = f"the run was cut off in phase {run.phase} and taken up again"
    outcome = outcome_of(site, update.perform(site, update.noted(run, note)))
    delivery = site.ledger.delivery(run.config_id)
    if delivery is not None and delivery.request is not None:
        store(site, run.config_id, delivery.request, outcome)
