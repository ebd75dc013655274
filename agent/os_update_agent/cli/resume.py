"""os-update-agent resume: finish open runs and send undelivered results."""

import argparse
from typing import Tuple

from os_update_agent.cli.output import complain, write_line
from os_update_agent.cli.progress import Watcher
from os_update_agent.cli.signals import line_of, no_longer_sending, refused_signals
from os_update_agent.config.settings import Settings
from os_update_agent.delivery.metrics import publish
from os_update_agent.delivery.network import adopt_network
from os_update_agent.delivery.outbox import Patience, send_owed
from os_update_agent.delivery.supervise import finish_open, leave_open
from os_update_agent.model.deliveries import OwedSignal
from os_update_agent.runtime.context import Site, open_site
from os_update_agent.text.outcomes import shown


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Finish open runs and send what is owed. Returns the exit status, 1 if a result is still owed or was refused."""
    site = open_site(settings)
    adopt_network(settings)
    if arguments.background or arguments.until_whole:
        return _in_background(site, until_whole=arguments.until_whole)
    refused = refused_signals(site)
    watcher = Watcher(site)
    try:
        _finish(site, watcher)
        owed = _sent(site, arguments.patience, watcher)
    finally:
        watcher.close()
    publish(site)
    for signal in owed:
        write_line(f"still owed: deployment {signal.config_id}: {signal.last_answer}")
    # The worker may have sent results, too. Signals that were refused before are for "status": resume cannot help them.
    found = [signal for config_id, signal in refused_signals(site).items() if config_id not in refused]
    for signal in found:
        write_line(line_of(signal))
    if not owed and not found:
        write_line("nothing is owed")
    if owed:
        complain(
            "next: 'os-update-agent resume --patience SECONDS' keeps trying; so does the timer, or the next delivery"
        )
    return 1 if owed or found else 0


def _in_background(site: Site, *, until_whole: bool) -> int:
    leave_open(site, until_whole=until_whole)
    # Publish the metrics here: a boot may change them although no worker starts.
    publish(site)
    for delivery in site.ledger.unfinished():
        write_line(f"at work: deployment {delivery.config_id}")
    return 0


def _finish(site: Site, watcher: Watcher) -> None:
    """Finish the open runs and print their results."""
    taken_up = {run.id for run in site.ledger.open_runs()}
    deliveries = {delivery.config_id for delivery in site.ledger.unfinished()}
    finish_open(site, watcher)
    watcher.close()
    for run in reversed(site.ledger.runs()):
        if run.id in taken_up or run.config_id in deliveries:
            why = f": {run.failure}" if run.failure else ""
            write_line(
                f"run {run.id} ({run.kind} {shown(run.value)}) has ended, {run.result}{why}; log: {run.log or 'none'}"
            )


def _sent(site: Site, patience: float, watcher: Watcher) -> Tuple[OwedSignal, ...]:
    """Send what is owed. Returns what is still owed; raises NoLongerWatched at Ctrl-C."""
    try:
        return send_owed(site, Patience(patience), watcher.sending)
    except KeyboardInterrupt:
        raise no_longer_sending(site.ledger.owed()) from None
