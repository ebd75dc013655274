"""os-update-agent plan: show what an update, a rollback or another operation would do."""

import argparse
from contextlib import suppress
from dataclasses import replace
from typing import Optional, Tuple

from os_update_agent.cli import views
from os_update_agent.cli.keys import (
    chosen_of,
    key_of,
    named_state,
    past_state,
    refuse_now,
    warn_of_new_key,
)
from os_update_agent.cli.output import answer
from os_update_agent.cli.progress import Doing
from os_update_agent.cli.views import Planned, called
from os_update_agent.config.options import is_unset
from os_update_agent.config.policy import Policy
from os_update_agent.config.settings import Settings
from os_update_agent.decision import table
from os_update_agent.decision.state_names import StateName
from os_update_agent.decision.table import Decision
from os_update_agent.delivery.decide import what_a_new_value_does, what_would_happen
from os_update_agent.delivery.suitability import check_suitable, refused_by_next_boot
from os_update_agent.model import phases
from os_update_agent.model.errors import Busy, PackageError, PendingBoot, UsageError
from os_update_agent.model.runs import Run
from os_update_agent.node.locks import node_holder
from os_update_agent.node.offline_updates import offline_updates
from os_update_agent.runs.plan import aim_of_update, forecast
from os_update_agent.runs.services import known_units
from os_update_agent.runs.way_back import aims_of_restore, first_possible
from os_update_agent.runtime.context import Site, open_site
from os_update_agent.text.outcomes import shown
from os_update_agent.text.phrases import in_brackets

UPDATES_AVAILABLE = 100


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the plan; change nothing. Returns the exit status."""
    if arguments.value is not None and is_unset(arguments.value):
        raise UsageError(
            f"VALUE is {arguments.value!r}, which stands for no value; leave it out for the plan of any new one"
        )
    refuse_now(arguments.value)
    if arguments.last and arguments.value is not None:
        raise UsageError("give either VALUE or --last")
    site = open_site(settings, reading=True)
    key = key_of(site, arguments.key)
    warn_of_new_key(site, key)
    chosen, delivered = chosen_of(site, arguments, key)
    policy = chosen.policy
    busy = _busy(site, policy)
    back = named_state(site, key, None) if arguments.last else _named(site, policy)
    doing = Doing(site)
    if not arguments.quiet:
        doing.start()
    try:
        if back is not None and back.state is not None:
            planned = _way_back(
                site, replace(policy, value=back.name), doing, back.state, f"by rollback; {back.meaning}"
            )
        else:
            planned = _planned(site, policy, doing, refresh=not arguments.no_refresh)
    except PackageError as error:
        ours, others, _ = _busy(site, policy)
        if not (ours or others):
            raise
        raise _disturbed(ours or others) from error
    finally:
        doing.end()
    # What began or ended meanwhile makes it another plan, too.
    ours, others, runs = busy if any(busy) else _busy(site, policy)
    if (planned.found.plan.torn or planned.found.unfinished) and (ours or others):
        raise _disturbed(ours or others)
    document = views.plan_document(
        planned,
        policy.archive,
        at_work=ours,
        lock_holder=others,
        open_runs=runs,
        pending=[one.sentence for one in offline_updates(settings.root)],
        refused=refused_by_next_boot(settings, policy) if planned.operation == phases.UPDATE else "",
        options=views.options_document(chosen, delivered),
    )
    options = views.option_lines(document["options"]) if arguments.verbose else ()
    answer(arguments, document, "\n".join([views.plan_text(document, planned.found.plan.changes), *options]))
    return UPDATES_AVAILABLE if arguments.detailed_exitcode and planned.changes_something else 0


def _busy(site: Site, policy: Policy) -> Tuple[Optional[str], Optional[str], Tuple[Run, ...]]:
    """Who of us is at work on the node just now, who else on its packages, and the runs that are open."""
    return node_holder(site.settings.lock), site.lock_holder(policy), site.ledger.open_runs()


def _disturbed(holder: Optional[str]) -> Busy:
    """Half of the packages are new, or one is not configured yet: that needs no mending, and is not worth telling."""
    return Busy(f"no plan can be made while somebody is at work on the packages: {holder}")


def _named(site: Site, policy: Policy) -> Optional[StateName]:
    """Return the state that VALUE names without being a recorded value; None for any other VALUE, also for one that
    decides for itself, such as a time before all others.
    """
    is_recorded = site.ledger.history(policy.key).record(policy.value) is not None
    if not policy.value or is_recorded or policy.operation != "update" or _decided(site, policy).do != phases.UPDATE:
        return None
    return past_state(site, policy.key, policy.value)


def _planned(site: Site, policy: Policy, doing: Doing, *, refresh: bool) -> Planned:
    """Raises PackageError, Busy, and AgentError where services cannot be asked for."""
    what = called(policy.operation, policy.value)
    decided = _decided(site, policy)
    if decided.do == table.NOTHING and policy.operation == "update" and policy.value:
        # Shown below as a rollback.
        check_suitable(site.settings, policy, decided._replace(do=phases.RESTORE))
    with suppress(PendingBoot):
        # The plan names it.
        check_suitable(site.settings, policy, decided)
    if decided.do == phases.RESTORE and decided.state is not None:
        record = site.ledger.history(policy.key).record(policy.value)
        return _way_back(site, policy, doing, decided.state, "" if record else decided.reason)
    if decided.do == table.NOTHING and policy.operation == "update":
        # An update finds nothing to do; a rollback puts right what was changed by hand since.
        record = site.ledger.history(policy.key).record(policy.value)
        if record is not None and record.state is not None:
            why = f"by rollback; an update does nothing: {decided.reason}"
            return _way_back(site, policy, doing, record.state, why)
    if decided.do in (phases.UPDATE, phases.DOWNLOAD, phases.ASSESS):
        why = decided.reason if policy.value and decided.do == phases.UPDATE else ""
        return replace(_update(site, policy, doing, what, decided.do, refresh=refresh), why=why)
    if decided.do in (phases.STOP, phases.START):
        why = decided.reason if decided.do != policy.operation else ""
        states = known_units(site, policy.units)
        is_right = {
            unit: state.is_stopped if decided.do == phases.STOP else state.is_active for unit, state in states.items()
        }
        units = tuple((unit, state.active, not is_right[unit]) for unit, state in states.items())
        return Planned(what, decided.do, units=units, why=why)
    return Planned(what, "nothing", why=decided.reason)


def _decided(site: Site, policy: Policy) -> Decision:
    """Return what happens if the value arrives now, or any new value if none is given."""
    return what_would_happen(site.ledger, policy) if policy.value else what_a_new_value_does(policy)


def _way_back(site: Site, policy: Policy, doing: Doing, state: int, why: str) -> Planned:
    doing.phase = phases.PLAN
    backend = site.backend(policy)
    before = backend.capture()
    aims = aims_of_restore(site.ledger, policy, before, state, site.settings.root)
    aim = first_possible(site, backend, before, aims)
    found = forecast(site, policy, backend, before, aim, forced=True)
    return Planned(f"the way back to {shown(policy.value)}", "restore", found, why=why)


def _update(site: Site, policy: Policy, doing: Doing, what: str, operation: str, *, refresh: bool) -> Planned:
    backend = site.backend(policy)
    if refresh:
        doing.phase = phases.REFRESH
        backend.refresh()
    doing.phase = phases.PLAN
    before = backend.capture()
    try:
        aim = aim_of_update(backend, policy, before)
    except PackageError as error:
        unfinished = backend.unfinished()
        if unfinished is None:
            raise
        raise PackageError(
            f"an earlier transaction was not completed{in_brackets(unfinished.names)}; an update tries to repair that"
            f" first, and what it changes then cannot be told before: {error}"
        ) from error
    return Planned(what, operation, forecast(site, policy, backend, before, aim, forced=False))
