"""The end of a run: what came of it, stored as the answer of its delivery together with the duty to send it."""

from dataclasses import replace
from pathlib import Path
from typing import Callable, Optional, TypeVar

from os_update_agent.config.policy import Policy
from os_update_agent.delivery.node_facts import facts_after, facts_now
from os_update_agent.heat.outcome import encode
from os_update_agent.model.deliveries import Delivery, Deployment, Outcome, Request
from os_update_agent.model.errors import Damaged
from os_update_agent.model.node_facts import UNKNOWN
from os_update_agent.model.packages import PackageState, annotated, diff, with_rows
from os_update_agent.model.runs import Run
from os_update_agent.packages.state import as_recorded, of_marks, of_unknown_builds, unmet, visible
from os_update_agent.runtime.context import Site, was_told
from os_update_agent.text.outcomes import NOTHING_CHANGED, Facts, outcome_of_run, outcome_of_switch, with_node

TAIL_BYTES = 16 * 1024
NOT_COMPARED = (
    "the record of a package state of this run is damaged, so the reported changes were not compared with the installed"
    " packages"
)

T = TypeVar("T")


def outcome_of(site: Site, run: Run) -> Outcome:
    """Return the outcome of a finished run. A damaged state takes nothing from what was reached: the changes reported
    are then those of the plan.
    """
    if run.switches_services:
        return outcome_of_switch(run, "" if run.progress.reached else _tail(Path(run.log)))
    ledger = site.ledger
    before, target = (_readable(ledger.state, number) for number in (run.before, run.target))
    after = _readable(ledger.state, run.after) if run.after is not None else before
    recorded = _readable(ledger.state, run.restored_from)
    other_marks = of_marks(unmet(after, target)) if run.progress.reached and after and target else ()
    if not run.plan.changes and before and target:
        # The first agent has stored no changes of a plan.
        run = replace(run, plan=replace(run.plan, changes=visible(diff(before, target))))
    changes = run.plan.changes if run.progress.reached else ()
    if before and after:
        changes = annotated(visible(diff(before, after)), run.plan.changes)
    elif run.before is not None:
        run = replace(run, notes=(*run.notes, NOT_COMPARED))
    facts = Facts(
        changes=changes,
        node=facts_after(site, run, before, after),
        is_exact=recorded is None or (after is not None and _is_state(with_rows(after, other_marks), recorded)),
        other_marks=tuple(change.name for change in other_marks),
        unknown_builds=tuple(package.name for package in of_unknown_builds(recorded)) if recorded else (),
        log_tail="" if run.progress.reached else _tail(Path(run.log)),
    )
    return outcome_of_run(run, facts)


def _is_state(state: PackageState, recorded: PackageState) -> bool:
    return as_recorded(state, recorded).digest == recorded.digest


def _readable(read: Callable[[int], T], number: Optional[int]) -> Optional[T]:
    """Return what is read of a state; None where there is none and where its record is damaged."""
    try:
        return read(number) if number is not None else None
    except Damaged:
        return None


def store(
    site: Site,
    config_id: str,
    request: Request,
    outcome: Outcome,
    *,
    unless_started: bool = False,
    without_options: bool = False,
) -> bool:
    """Store the answer of a delivery; it is owed to Heat from this moment on. Returns whether it is the answer. Raises
    LedgerError.

    ``without_options`` says that the options of the delivery do not count for its key.
    """
    delivery = site.ledger.delivery(config_id)
    run = readable_run(site, delivery.run) if delivery else None
    if delivery is not None and delivery.finished is None:
        outcome = described(site, delivery, outcome)
    body = encoded(request, outcome, run.log if run else "")
    target = None if nobody_waits(site, config_id, request) else request.signal
    return site.ledger.finish(
        config_id, body, target, site.clock(), unless_started=unless_started, without_options=without_options
    )


def described(site: Site, delivery: Delivery, outcome: Outcome) -> Outcome:
    """Return the outcome with the facts about the node. A deletion needs none: the server may go the next moment."""
    if "state_digest" in outcome.outputs:
        return outcome
    policy = replace(Policy.from_json(delivery.policy) if delivery.policy else Policy(), key=delivery.key)
    return with_node(outcome, UNKNOWN if delivery.action == "DELETE" else facts_now(site, policy))


def nobody_waits(site: Site, config_id: str, request: Request) -> bool:
    """Return whether Heat expects no signal for the delivery.

    Heat may have accepted a result that the ledger could not store; a second signal would finish another deployment.
    """
    return request.signal.transport == "NO_SIGNAL" or was_told(site.settings, config_id)


def readable_run(site: Site, number: Optional[int]) -> Optional[Run]:
    """Return the run; None where there is none and where its record is damaged, which its other readers report."""
    try:
        return site.ledger.run(number) if number is not None else None
    except Damaged:
        return None


def encoded(request: Request, outcome: Outcome, log_file: str = "") -> str:
    """The body of the signal, free of the secrets of this delivery."""
    secret = request.signal.secret
    return encode(
        outcome,
        request.outputs,
        full_text=log_file,
        secrets=[secret[name] for name in ("url", "password") if name in secret],
    )


def aftermath(site: Site, config_id: str) -> str:
    """What a delivery that ends without its run's own report has done to the node. Raises LedgerError."""
    delivery = site.ledger.delivery(config_id)
    run = readable_run(site, delivery.run) if delivery is not None else None
    if run is None and delivery is not None and delivery.run is not None:
        return f"the record of run {delivery.run} is damaged, so what it has done to the packages is not known"
    if run is None or run.progress.is_untouched:
        return NOTHING_CHANGED
    if run.finished is not None:
        return (
            f"run {run.id} has ended before that ({run.result}): 'os-update-agent status' on the node tells; log on the"
            f" node: {run.log}"
        )
    end = f"finishes or undoes it; log on the node: {run.log or site.run_log(run.id)}"
    return f"run {run.id} is cut off in phase {run.phase}: 'os-update-agent resume', or the next delivery, {end}"


def request_of(deployment: Deployment) -> Request:
    return Request(deployment.signal, deployment.outputs)


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return file.read(TAIL_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):  # ValueError: a NUL in the path that a damaged record names
        return ""
