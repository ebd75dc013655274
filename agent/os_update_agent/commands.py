"""The verbs of the command line: each takes the settings and its arguments, prints its answer and returns the exit status."""

import argparse
import json
import sys
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from os_update_agent import views
from os_update_agent.deliver import BY_HAND, by_hand, deliver
from os_update_agent.errors import AgentError, UsageError
from os_update_agent.heat.deployment import parse
from os_update_agent.model import Change, History, Outcome, PackageState, Record, diff
from os_update_agent.node.lock import node_holder, node_lock
from os_update_agent.node.reboot import reboot_reasons
from os_update_agent.notify import notify as send_result
from os_update_agent.outbox import Patience
from os_update_agent.packages.state import visible
from os_update_agent.packages.transition import Transition
from os_update_agent.planning import aim_of_restore, aim_of_update
from os_update_agent.policy import Policy
from os_update_agent.policy import by_hand as policy_by_hand
from os_update_agent.report import shown
from os_update_agent.resume import resume
from os_update_agent.retention import prune
from os_update_agent.settings import Settings
from os_update_agent.site import Site, open_site

HAND_KEY = "by-hand"
NOW = "now"
UPDATES_AVAILABLE = 100
_OF_ONE_DELIVERY = ("value", "key", "operation")


def status(settings: Settings, arguments: argparse.Namespace) -> int:
    """what this node stands at, what is open, what is owed to Heat"""
    site = open_site(settings)
    runs = site.ledger.runs(limit=1)
    document = views.status_document(
        _histories(site, None),
        runs[0] if runs else None,
        site.ledger.open_runs(),
        site.ledger.signals(),
        node_holder(settings.lock),
        reboot_reasons(settings.root),
    )
    return _print(arguments, document, views.status_text(document))


def plan(settings: Settings, arguments: argparse.Namespace) -> int:
    """what an update, or the way to VALUE, would do; changes nothing"""
    site = open_site(settings)
    key = _key(site, arguments.key)
    policy = _policy(site, arguments, key)
    backend = site.backend(policy)
    record = site.ledger.history(key).record(arguments.value) if arguments.value else None
    if record is not None and record.is_reached and record.state is not None:
        before = backend.capture()
        aim = aim_of_restore(site.ledger, policy, before, record.state)
        title = f"the way back to {shown(policy.value)}:"
    else:
        if not arguments.no_refresh:
            backend.refresh()
        before = backend.capture()
        aim = aim_of_update(backend, policy, before)
        title = "an update would change:"
    changes = visible(diff(before, aim.target))
    transition = Transition(backend, site.archive(backend), settings.root, sys.stdout.buffer)
    lost = [package.label for package in transition.lost_by(before, aim.target)]
    document = views.plan_document(changes, {i.name: i.reason for i in aim.held_back}, lost, aim.removes_foreign, title)
    _print(arguments, document, views.plan_text(document, changes))
    return UPDATES_AVAILABLE if arguments.detailed_exitcode and changes else 0


def update(settings: Settings, arguments: argparse.Namespace) -> int:
    """update the packages and record the state under VALUE; a VALUE that was reached before is restored"""
    site = open_site(settings)
    return _tell(arguments, by_hand(site, _policy(site, arguments, _key(site, arguments.key)), watch=_watch(arguments)))


def rollback(settings: Settings, arguments: argparse.Namespace) -> int:
    """restore the state that is recorded under VALUE"""
    site = open_site(settings)
    key = _key(site, arguments.key)
    record = _record(site.ledger.history(key), arguments.value)
    if not record.is_reached:
        raise UsageError(f"{shown(record.value)} was tried and never reached: there is no state to go back to")
    return _tell(arguments, by_hand(site, _policy(site, arguments, key), state=record.state, watch=_watch(arguments)))


def history(settings: Settings, arguments: argparse.Namespace) -> int:
    """the values that were tried and reached, and the runs"""
    site = open_site(settings)
    keep = policy_by_hand("", HAND_KEY, settings.defaults).keep
    runs = site.ledger.runs(arguments.key, arguments.limit)
    document = views.history_document(_histories(site, arguments.key), runs, keep)
    return _print(arguments, document, views.history_text(document))


def show(settings: Settings, arguments: argparse.Namespace) -> int:
    """what is recorded under VALUE"""
    site = open_site(settings)
    known = site.ledger.history(_key(site, arguments.key))
    record = _record(known, arguments.value)
    keep = policy_by_hand("", HAND_KEY, settings.defaults).keep
    run = site.ledger.run(record.run) if record.run else None
    changes: Tuple[Change, ...] = ()
    if run is not None and run.before is not None and run.after is not None:
        changes = visible(diff(site.ledger.state(run.before), site.ledger.state(run.after)))
    state = site.ledger.state(record.state) if record.state is not None else None
    values: List[Dict[str, object]] = views.history_document([known], (), keep)["keys"][0]["values"]
    entry = next(value for value in values if value["value"] == record.value)
    document = views.show_document(run, entry, state, changes)
    return _print(arguments, document, views.show_text(document, changes))


def difference(settings: Settings, arguments: argparse.Namespace) -> int:
    """what differs between the states of two values; "now" is what is installed"""
    site = open_site(settings)
    names = (arguments.a, arguments.b)
    first, second = (_state(site, settings, arguments, name) for name in names)
    details = diff(first, second)
    changes = visible(details)
    return _print(arguments, views.diff_document(names, changes, details), views.diff_text(changes, details))


def resume_now(settings: Settings, arguments: argparse.Namespace) -> int:
    """finish what is open and send what is owed to Heat"""
    site = open_site(settings)
    owed = resume(site, Patience(arguments.patience))
    for delivery in site.ledger.unfinished():
        print(f"still at work: deployment {delivery.config_id}")
    for signal in owed:
        print(f"still owed: deployment {signal.config_id}: {signal.last_answer}")
    if not owed:
        print("nothing is owed")
    return 1 if owed else 0


def replay(settings: Settings, arguments: argparse.Namespace) -> int:
    """run a deployment from its file, as heat-config would (see /var/lib/heat-config/deployed)"""
    try:
        text = Path(arguments.file).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{arguments.file} cannot be read: {error.strerror}") from error
    body = json.loads(deliver(settings, parse(text), signals=not arguments.no_signal))
    outputs = {name: value for name, value in body.items() if not name.startswith("deploy_")}
    return _tell(arguments, Outcome(body["deploy_status_code"], body["deploy_stdout"], body["deploy_stderr"], outputs))


def notify(settings: Settings, arguments: argparse.Namespace) -> int:
    """send a hook's result to Heat, in place of heat-config-notify"""
    return send_result(settings, arguments.file, sys.stdin, arguments.patience)


def prune_now(settings: Settings, arguments: argparse.Namespace) -> int:
    """drop package files that no kept state needs"""
    site = open_site(settings)
    policy = policy_by_hand("", HAND_KEY, settings.defaults, **({"keep": arguments.keep} if arguments.keep else {}))
    with node_lock(settings.lock, doing="prune by hand", timeout=policy.lock_timeout):
        files, size = prune(site.ledger, site.archive(site.backend(policy)), policy, keep=arguments.keep and policy.keep)
    print(f"{files} files, {size / 1e6:.1f} MB dropped")
    return 0


def demo(settings: Settings, arguments: argparse.Namespace) -> int:
    """see the whole line at work in a private root: nothing outside a temporary directory is touched"""
    from os_update_agent.demo.story import tell

    return tell(Path(arguments.directory) if arguments.directory else None)


def _histories(site: Site, key: Optional[str]) -> Tuple[History, ...]:
    return tuple(site.ledger.history(known) for known in site.ledger.all_keys() if key in (None, known))


def _key(site: Site, asked: Optional[str]) -> str:
    """The key that was asked for, else the only one of the node. Raises UsageError where that is not clear."""
    keys = site.ledger.all_keys()
    if asked is not None:
        return asked
    if len(keys) > 1:
        raise UsageError("this node has the histories of several deployments; say which with --key: " + ", ".join(map(repr, keys)))
    return keys[0] if keys else HAND_KEY


def _record(known: History, value: str) -> Record:
    record = known.record(value)
    if record is None:
        values = ", ".join(shown(other.value) for other in known.records) or "none"
        raise UsageError(f"{shown(value)} is not recorded under {known.key!r}; recorded values: {values}")
    return record


def _state(site: Site, settings: Settings, arguments: argparse.Namespace, name: str) -> PackageState:
    if name == NOW:
        return site.backend(policy_by_hand("", HAND_KEY, settings.defaults)).capture()
    record = _record(site.ledger.history(_key(site, arguments.key)), name)
    if record.state is None:
        raise UsageError(f"{shown(name)} was tried and never reached: no state is recorded")
    return site.ledger.state(record.state)


def _policy(site: Site, arguments: argparse.Namespace, key: str) -> Policy:
    """As Heat's last delivery of the key had it, under what this command line says: by hand and by Heat the same is excluded."""
    last = site.ledger.last_policy(key, besides=BY_HAND) or {}
    options = {name: value for name, value in last.items() if name not in _OF_ONE_DELIVERY and value not in (None, [])}
    if arguments.select or arguments.packages or arguments.exclude:
        # Their restriction decides anew how a restore is meant.
        options.pop("restore", None)
    for name in ("select", "packages", "exclude"):
        if getattr(arguments, name, None):
            options[name] = getattr(arguments, name)
    for assignment in arguments.set or ():
        name, sign, value = assignment.partition("=")
        if not sign:
            raise UsageError(f"--set {assignment!r}: it must be OPTION=VALUE")
        options[name.strip().replace("-", "_")] = value
    return policy_by_hand(arguments.value or "", key, site.settings.defaults, **options)


def _watch(arguments: argparse.Namespace) -> Callable[[str], None]:
    """Tell the phases of a run on standard error, to a person who watches or asked for it."""
    if not (arguments.verbose or sys.stderr.isatty()):
        return lambda phase: None
    return lambda phase: print(f"... {phase}", file=sys.stderr, flush=True)


def _print(arguments: argparse.Namespace, document: views.Document, text: str) -> int:
    print(views.as_json(document) if arguments.json else text)
    return 0


def _tell(arguments: argparse.Namespace, outcome: Outcome) -> int:
    """Print an outcome; the exit status is 0, 1, or that of "busy"."""
    if getattr(arguments, "json", False):
        print(views.as_json({"status_code": outcome.status_code, "stdout": outcome.stdout, "stderr": outcome.stderr, **outcome.outputs}))
    else:
        sys.stdout.write(outcome.stdout)
        sys.stdout.flush()
        sys.stderr.write(outcome.stderr)
    known: Sequence[int] = (0, 75)
    return outcome.status_code if outcome.status_code in known else AgentError.exit_status
