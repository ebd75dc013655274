"""What a monitoring system wants to know of this node, as a file for node-exporter's textfile collector (setting
``metrics``).
"""

import logging
from typing import Dict, Iterable, Iterator, NamedTuple, Optional, Tuple

from os_update_agent import __version__
from os_update_agent.config.policy import Policy
from os_update_agent.model.deliveries import OwedSignal
from os_update_agent.model.errors import AgentError
from os_update_agent.model.runs import Run
from os_update_agent.node.owned_directories import write_file
from os_update_agent.runs.changes import number_changed_by
from os_update_agent.runtime.context import Site
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

RESULTS = ("success", "undone", "failed", "open")
_Sample = Tuple[Dict[str, str], float]


class Facts(NamedTuple):
    """``last`` is the newest run, ``changed`` how many packages it has changed, None where its record is damaged;
    ``now`` is in seconds since the epoch.
    """

    last: Optional[Run]
    changed: Optional[int]
    open_runs: int
    signals: Tuple[OwedSignal, ...]
    reboot: bool
    now: float


def publish(site: Site) -> None:
    """Write the file anew, where the setting names one. What stands in the way is logged: it must not fail a
    delivery.
    """
    path = site.settings.metrics
    if path is None:
        return
    try:
        runs = site.ledger.runs(limit=1)
        last = runs[0] if runs else None
        changed = number_changed_by(site, last) if last else 0
        facts = Facts(
            last,
            changed,
            len(site.ledger.open_runs()),
            site.ledger.signals(),
            bool(site.reboot_reasons(Policy())),
            site.clock(),
        )
        # For a reader that may come at any time; the collector reads only names that end in .prom.
        write_file(path, exposition(facts), 0o644)
    except (AgentError, OSError) as error:
        log.warning(logged(metrics=path, written="no", why=error))


def exposition(facts: Facts) -> str:
    """The file's text (Prometheus exposition format, version 0.0.4). No value, name or key of a stack is in it."""
    return "".join(_lines(facts))


def _lines(facts: Facts) -> Iterator[str]:
    yield from _metric("info", "The agent on this node.", [({"version": __version__}, 1)])
    last = facts.last
    if last is not None:
        yield from _metric("last_run_start_timestamp_seconds", "When the last run began.", [({}, last.started)])
        if last.finished is not None:
            yield from _metric("last_run_end_timestamp_seconds", "When the last run ended.", [({}, last.finished)])
        of_each = [({"result": result}, float(result == last.result)) for result in RESULTS]
        yield from _metric("last_run_result", "1 for what the last run came to.", of_each)
        if facts.changed is not None:
            yield from _metric(
                "last_run_packages_changed", "Packages that the last run has changed.", [({}, facts.changed)]
            )
        yield from _metric(
            "last_run_packages_held_back",
            "Packages with a newer version that did not get it.",
            [({}, len(last.plan.held_back))],
        )
    yield from _metric("open_runs", "Runs that are at work or were cut off.", [({}, facts.open_runs)])
    for standing in ("owed", "refused"):
        count = sum(signal.standing == standing for signal in facts.signals)
        yield from _metric(f"signals_{standing}", f"Results for Heat that are {standing}.", [({}, count)])
    yield from _metric("reboot_required", "Does anything ask for a boot?", [({}, float(facts.reboot))])
    yield from _metric("written_timestamp_seconds", "When this was written.", [({}, facts.now)])


def _metric(name: str, text: str, samples: Iterable[_Sample]) -> Iterator[str]:
    full = f"os_update_agent_{name}"
    yield f"# HELP {full} {text}\n# TYPE {full} gauge\n"
    for labels, value in samples:
        inside = ",".join(f'{label}="{content}"' for label, content in labels.items())
        yield f"{full}{'{' + inside + '}' if inside else ''} {value:.15g}\n"
