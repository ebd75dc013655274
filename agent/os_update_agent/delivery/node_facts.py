"""The facts about the node that every result tells: asked when the result is made, whatever the delivery has done.

Each fact that cannot be found out is unknown and logged. It never fails a delivery.
"""

import logging
from contextlib import contextmanager
from typing import Dict, Iterator, Mapping, Optional

from os_update_agent.config.policy import Policy
from os_update_agent.config.settings import Settings
from os_update_agent.ledger import Ledger
from os_update_agent.model.errors import known
from os_update_agent.model.node_facts import UNKNOWN, Drift, NodeFacts
from os_update_agent.model.packages import HeldBack, Package, PackageState, Slot, diff
from os_update_agent.model.runs import History, Record, Run
from os_update_agent.model.settings import differing
from os_update_agent.packages.state import as_recorded, transaction, visible
from os_update_agent.runtime.context import Site
from os_update_agent.text.log_lines import logged
from os_update_agent.text.phrases import row_line, setting_line

log = logging.getLogger(__name__)

# Runs of other keys are looked through for changes that are no drift, but not without end.
_RUNS_AT_MOST = 50


def facts_without_ledger(settings: Settings) -> NodeFacts:
    """Return the facts that need neither ledger nor package manager."""
    from os_update_agent.node.reboot import reboot_reasons, stale_services  # late: most results come from a worker

    facts = UNKNOWN
    with _or_unknown("reboot"):
        facts = facts._replace(reboot=reboot_reasons(settings.root))
    with _or_unknown("services"):
        facts = facts._replace(services=stale_services(settings.root))
    return facts


def facts_now(site: Site, policy: Policy, state: Optional[PackageState] = None) -> NodeFacts:
    """Return the facts for a delivery of the policy's key. ``state`` is what is installed, if that is known already."""
    facts = facts_without_ledger(site.settings)
    with _or_unknown("reboot"):
        facts = facts._replace(reboot=site.reboot_reasons(policy))
    with _or_unknown("packages"):
        state = state or site.backend(policy).capture()
        facts = facts._replace(digest=state.digest)
        history = site.ledger.history(policy.key)
        with _or_unknown("last update"):
            facts = _with_last_update(site, history, facts, state)
        facts = facts._replace(drift=drift_of(site, history, state))
    return facts


def facts_after(site: Site, run: Run, before: Optional[PackageState], after: Optional[PackageState]) -> NodeFacts:
    """Return the facts for a finished run. The drift is what others had changed before it."""
    facts = facts_now(site, Policy.from_json(run.policy), after)
    if run.progress.reached or not run.is_as_before:
        facts = facts._replace(held_back=run.plan.held_back, restorable=run.plan.can_be_undone)
    facts = facts._replace(drift=Drift())
    if before is not None and run.departing_state is not None:
        facts = facts._replace(drift=None)
        with _or_unknown("drift"):
            record = site.ledger.history(run.key).record(run.departing or "")
            facts = facts._replace(drift=drift_between(site.ledger, run.key, run.departing_state, before, record))
    return facts


def drift_of(site: Site, history: History, state: PackageState) -> Optional[Drift]:
    """Return what others have changed since the state of the key's current value was recorded; None if no value is
    current. Raises LedgerError.
    """
    record = _standing(history)
    if record is None or record.state is None:
        return None if history.is_known else Drift()
    return drift_between(site.ledger, history.key, record.state, state, record)


def drift_between(ledger: Ledger, key: str, number: int, state: PackageState, record: Optional[Record] = None) -> Drift:
    """Return the difference from the recorded state ``number`` of the key to ``state``.

    What a run of another key has changed after the ``record`` is no drift. Raises LedgerError.
    """
    recorded = ledger.state(number)
    state = as_recorded(state, recorded)
    found = diff(recorded, state)
    if found and record is not None:
        ours = _changed_by_other_keys(ledger, key, record)
        found = tuple(change for change in found if not _is_in(ours, state.slot(change.package), change.after))
    seen = {id(change.package) for change in visible(found)}
    rows = tuple(row_line(change) for change in found if id(change.package) not in seen)
    settings = tuple(setting_line(change) for change in differing(recorded.settings, state.settings))
    return Drift(visible(found), (*rows, *settings))


def _is_in(rows: Mapping[Slot, Optional[Package]], slot: Slot, row: Optional[Package]) -> bool:
    """Return whether this is the row of the place, whichever digest is known of it."""
    if slot not in rows:
        return False
    other = rows[slot]
    if row is None or other is None:
        return row is other
    return row._replace(digest="") == other._replace(digest="")


def _changed_by_other_keys(ledger: Ledger, key: str, record: Record) -> Dict[Slot, Optional[Package]]:
    """Return the row (None: removed) that the last run of another key after the record has left in each place."""
    found: Dict[Slot, Optional[Package]] = {}
    for run in ledger.runs(limit=_RUNS_AT_MOST):
        is_later = run.started >= (record.reached or 0.0) if record.reached_run is None else run.id > record.reached_run
        if not is_later:
            break
        if run.key == key or run.before is None or run.after is None:
            continue
        after = ledger.state(run.after)
        for change in diff(ledger.state(run.before), after):
            found.setdefault(after.slot(change.package), change.after)
    return found


def _standing(history: History) -> Optional[Record]:
    """Return the record of the value at which the node stands, or stood until another key moved its packages."""
    value = history.current if history.current is not None else history.moved_from
    return None if value is None else history.record(value)


def _with_last_update(site: Site, history: History, facts: NodeFacts, state: PackageState) -> NodeFacts:
    """Add what the run that reached the current value has held back, and whether it can be undone.

    Raises LedgerError.
    """
    record = _standing(history)
    run = site.ledger.run(record.reached_run) if record is not None and record.reached_run is not None else None
    if run is None:
        return facts._replace(held_back=(), restorable=True)
    return facts._replace(
        held_back=tuple(one for one in run.plan.held_back if _is_still_held_back(site.ledger, run, one, state)),
        restorable=run.plan.can_be_undone and _are_files_kept(site, run, state),
    )


def _is_still_held_back(ledger: Ledger, run: Run, one: HeldBack, state: PackageState) -> bool:
    """Return whether the package has the version that the run has left."""
    if run.after is None:
        return True
    then = {row.identity for row in ledger.state(run.after).packages if row.name == one.name}
    now = {row.identity for row in state.packages if row.name == one.name}
    return then == now


def _are_files_kept(site: Site, run: Run, state: PackageState) -> bool:
    """Return whether the archive still has the files that the way back of the run needs."""
    if run.before is None or run.policy.get("archive") == "off":
        return True
    from os_update_agent.packages.archive import missing  # late: it is needed after an update only

    needed = transaction(state, site.ledger.state(run.before)).install
    return not missing(site.settings.archive, site.ledger, needed)


@contextmanager
def _or_unknown(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the result matters more than what it tells of the node
        log.warning(logged(unknown=what, why=known(error)))
