"""The verbs that have to do with Heat: what is owed to it, and deliveries from their files."""

import argparse
import json
import sys
from pathlib import Path

from os_update_agent.commands.asked import tell
from os_update_agent.commands.watching import Watcher, watcher_of
from os_update_agent.deliver import deliver
from os_update_agent.errors import UsageError
from os_update_agent.heat.deployment import parse
from os_update_agent.metrics import publish
from os_update_agent.model import Outcome
from os_update_agent.notify import notify as send_result
from os_update_agent.outbox import Patience, send_owed
from os_update_agent.report import shown
from os_update_agent.settings import Settings
from os_update_agent.site import open_site
from os_update_agent.waiting import finish_open, leave_open


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
    taken_up = {run.id for run in site.ledger.open_runs()}
    deliveries = {delivery.config_id for delivery in site.ledger.unfinished()}
    watcher = Watcher(site)
    try:
        finish_open(site, watcher)
    finally:
        watcher.close()
    for run in reversed(site.ledger.runs()):
        if run.id in taken_up or run.config_id in deliveries:
            why = f": {run.failure}" if run.failure else ""
            print(f"run {run.id} ({run.kind} {shown(run.value)}) has ended, {run.result}{why}; log: {run.log or 'none'}")
    owed = send_owed(site, Patience(arguments.patience))
    publish(site)
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
    deployment = parse(text)
    watcher = watcher_of(settings, quiet=arguments.quiet)
    try:
        body = json.loads(deliver(settings, deployment, signals=not arguments.no_signal, watch=watcher))
    finally:
        if watcher is not None:
            watcher.close()
    outputs = {name: value for name, value in body.items() if not name.startswith("deploy_")}
    return tell(arguments, Outcome(body["deploy_status_code"], body["deploy_stdout"], body["deploy_stderr"], outputs))


def notify(settings: Settings, arguments: argparse.Namespace) -> int:
    """send a hook's result to Heat, in place of heat-config-notify"""
    return send_result(arguments.config, arguments.file, sys.stdin, arguments.patience)
