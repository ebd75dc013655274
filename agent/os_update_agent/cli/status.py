"""os-update-agent status: the current state, unfinished runs and undelivered results."""

import argparse
import contextlib
from dataclasses import replace
from typing import List, Sequence

from os_update_agent.cli import views
from os_update_agent.cli.keys import HAND_KEY, age_of_key, histories, kept_states, policy_of_key
from os_update_agent.cli.output import answer
from os_update_agent.config.policy import Policy, by_hand
from os_update_agent.config.settings import Settings
from os_update_agent.delivery.decide import past_values_of, what_a_new_value_does, what_would_happen
from os_update_agent.delivery.suitability import why_unsuitable
from os_update_agent.heat.secret_audit import readable_by_all
from os_update_agent.model.errors import BadOption, Damaged
from os_update_agent.model.packages import diff
from os_update_agent.model.runs import History
from os_update_agent.node.locks import node_holder
from os_update_agent.node.offline_updates import offline_updates
from os_update_agent.packages.state import visible
from os_update_agent.runs.changes import number_changed_by
from os_update_agent.runtime.context import Site, open_site

SHOWN_AHEAD = 5


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the status. Returns the exit status."""
    site = open_site(settings, reading=True)
    runs, known = site.ledger.runs(limit=1), histories(site, None)
    document = views.status_document(
        known,
        {one.key: _ahead(site, one) for one in known},
        runs[0] if runs else None,
        number_changed_by(site, runs[0]) if runs else 0,
        site.ledger.open_runs(),
        site.ledger.signals(),
        node_holder(settings.lock),
        site.reboot_reasons(Policy()),
        readable_by_all(settings.collect_config),
        site.ledger.unfinished(),
        site.lock_holder(Policy()),
        _refused_defaults(settings),
        # After all other reads: the ledger names every damaged record that they have met.
        site.ledger.damaged(),
        why_unsuitable(settings),
        [one.sentence for one in offline_updates(settings.root)],
        {one.key: age_of_key(site, one.key) for one in known},
    )
    return answer(arguments, document, views.status_text(document))


def _refused_defaults(settings: Settings) -> str:
    """Return why section [defaults] of agent.conf is refused, '' if it is accepted."""
    try:
        by_hand("", HAND_KEY, settings.defaults)
    except BadOption as error:
        return str(error)
    return ""


def _ahead(site: Site, known: History) -> List[views.Ahead]:
    """Return what would happen for each of the values reached last, the current one included, and for a new one."""
    policy = policy_of_key(site, known.key)
    found = [_ahead_of(site, known, replace(policy, value=value)) for value in _last_values(site, known, policy)]
    return [*found, views.Ahead(None, what_a_new_value_does(policy).do, None)]


def _last_values(site: Site, known: History, policy: Policy) -> Sequence[str]:
    past = past_values_of(site.ledger, known, policy)
    values = past.values if past else [record.value for record in known.records if record.is_reached]
    return values[-SHOWN_AHEAD:]


def _ahead_of(site: Site, known: History, policy: Policy) -> views.Ahead:
    """Return what would happen if the policy's value came; the count of packages is None where none is restored."""
    do = what_would_happen(site.ledger, policy).do
    record, current = known.record(policy.value), known.record(known.current or "")
    if policy.operation != "update" or record is None or record.state is None:
        return views.Ahead(policy.value, do, None)
    packages = None
    if current is not None and current.state is not None:
        with contextlib.suppress(Damaged):
            packages = len(visible(diff(site.ledger.state(current.state), site.ledger.state(record.state))))
    return views.Ahead(policy.value, do, packages, record.state in kept_states(site, known))
