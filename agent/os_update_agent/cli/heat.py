"""The verbs that have to do with Heat: what is owed to it, and deliveries from their files."""

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

from os_update_agent.cli import views
from os_update_agent.cli.asked import complain, tell
from os_update_agent.cli.progress import Watcher, watcher_of
from os_update_agent.config.settings import Settings
from os_update_agent.delivery.deliver import deliver
from os_update_agent.delivery.metrics import publish
from os_update_agent.delivery.notify import notify as send_result
from os_update_agent.delivery.outbox import Patience, send_owed
from os_update_agent.delivery.supervise import finish_open, leave_open
from os_update_agent.heat.deployment import parse
from os_update_agent.model.deliveries import Outcome, OwedSignal
from os_update_agent.model.errors import AgentError, NoLongerWatched, UsageError
from os_update_agent.runtime.context import Site, open_site
from os_update_agent.text.outcomes import shown

# As hooks/package-update is called: heat-config finds a hook by the name of the group.
GROUP = "package-update"


def resume_now(settings: Settings, arguments: argparse.Namespace) -> int:
    """finish what is open and send what is owed to Heat"""
    site = open_site(settings)
    if arguments.background or arguments.until_whole:
        leave_open(site, until_whole=arguments.until_whole)
        # The timer comes here: what a boot has mended is told though there is nothing to do for a worker.
        publish(site)
        for delivery in site.ledger.unfinished():
            print(f"at work: deployment {delivery.config_id}")
        return 0
    refused = _refused(site)
    taken_up = {run.id for run in site.ledger.open_runs()}
    deliveries = {delivery.config_id for delivery in site.ledger.unfinished()}
    watcher = Watcher(site)
    try:
        finish_open(site, watcher)
        watcher.close()
        for run in reversed(site.ledger.runs()):
            if run.id in taken_up or run.config_id in deliveries:
                why = f": {run.failure}" if run.failure else ""
                print(
                    f"run {run.id} ({run.kind} {shown(run.value)}) has ended, {run.result}{why}; log:"
                    f" {run.log or 'none'}"
                )
        owed = _sent(site, arguments.patience, watcher)
    finally:
        watcher.close()
    publish(site)
    for signal in owed:
        print(f"still owed: deployment {signal.config_id}: {signal.last_answer}")
    # Also what the worker has sent meanwhile. What was refused before is told by status: nothing here can help it.
    found = [signal for config_id, signal in _refused(site).items() if config_id not in refused]
    for signal in found:
        print(_line_of(signal))
    if not owed and not found:
        print("nothing is owed")
    if owed:
        complain(
            "next: 'os-update-agent resume --patience SECONDS' keeps trying; so does the timer, or the next delivery"
        )
    return 1 if owed or found else 0


def _refused(site: Site) -> Dict[str, OwedSignal]:
    return {signal.config_id: signal for signal in site.ledger.signals() if signal.standing == "refused"}


def _sent(site: Site, patience: float, watcher: Watcher) -> Tuple[OwedSignal, ...]:
    """Send what is owed; returns what still is. Raises NoLongerWatched at Ctrl-C."""
    try:
        return send_owed(site, Patience(patience), watcher.sending)
    except KeyboardInterrupt:
        raise _no_longer_sending(site.ledger.owed()) from None


def _no_longer_sending(signals: Sequence[OwedSignal]) -> NoLongerWatched:
    """Ctrl-C when the work is done, and Heat was perhaps not told."""
    lines = "; ".join(map(_line_of, signals)) or "nothing is owed"
    stopped = NoLongerWatched(f"no longer sending; the work itself is done: {lines}")
    stopped.advice = "'os-update-agent status' says what is owed to Heat"
    return stopped


def _line_of(signal: OwedSignal) -> str:
    return views.signal_line(signal.standing, views.signal_document(signal))


def replay(settings: Settings, arguments: argparse.Namespace) -> int:
    """run a deployment from its file, as heat-config would (see /var/lib/heat-config/deployed)"""
    try:
        text = Path(arguments.file).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{arguments.file} cannot be read: {error.strerror}") from error
    _check_group(arguments.file, text)
    deployment = parse(text)
    watcher, signals = watcher_of(settings, quiet=arguments.quiet), not arguments.no_signal
    sending = watcher.sending if watcher is not None else None
    try:
        body = json.loads(deliver(settings, deployment, signals=signals, watch=watcher, sending=sending))
    except KeyboardInterrupt:
        signal = _signal_of(settings, deployment.id)
        if signal is None:
            raise
        raise _no_longer_sending((signal,)) from None
    finally:
        if watcher is not None:
            watcher.close()
    signal = _signal_of(settings, deployment.id) if signals else None
    outputs = {name: value for name, value in body.items() if not name.startswith("deploy_")}
    told = {**views.signal_document(signal), "standing": signal.standing} if signal is not None else None
    outcome = Outcome(body.get("deploy_status_code", 0), *_texts(body), {**outputs, "signal": told})
    status = tell(arguments, outcome)
    if signal is None:
        return status
    if not arguments.json:
        print(_line_of(signal))
    return status or int(signal.standing in ("owed", "refused"))


def _texts(body: Dict[str, Any]) -> Tuple[str, str]:
    """What a hook has printed; a result that another one has given need not have either."""
    return str(body.get("deploy_stdout") or ""), str(body.get("deploy_stderr") or "")


def _check_group(file: str, text: str) -> None:
    """heat-config keeps the deployments of all hooks in one place, and gives each to the hook of its group. Raises
    UsageError.
    """
    group = None
    with contextlib.suppress(ValueError, RecursionError, AttributeError):
        # What it is besides is told by whoever reads all of it.
        group = json.loads(text).get("group")
    if group not in (None, GROUP):
        raise UsageError(f"{file}: its group is {shown(group)}, which is another hook's; it must be {GROUP!r}")


def _signal_of(settings: Settings, config_id: str) -> Optional[OwedSignal]:
    """None where nobody waits for one, and where there is no ledger: the answer has told that."""
    with contextlib.suppress(AgentError):
        return next(iter(open_site(settings).ledger.signals(config_id)), None)
    return None


def notify(settings: Settings, arguments: argparse.Namespace) -> int:
    """send a hook's result to Heat, in place of heat-config-notify"""
    return send_result(arguments.config, arguments.file, sys.stdin, arguments.patience)
