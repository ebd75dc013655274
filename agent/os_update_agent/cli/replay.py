"""os-update-agent replay: run a deployment from the file in which heat-config keeps it."""

import argparse
import contextlib
import json
from typing import Any, Dict, Tuple

from os_update_agent.cli import views
from os_update_agent.cli.output import print_result, write_line
from os_update_agent.cli.progress import watcher_of
from os_update_agent.cli.signals import line_of, no_longer_sending, signal_of
from os_update_agent.config.settings import Settings
from os_update_agent.delivery.deliver import deliver
from os_update_agent.heat.deployed_files import COPY_LIMIT
from os_update_agent.heat.deployment import parse
from os_update_agent.model.bounded_json import read_json, size
from os_update_agent.model.deliveries import Outcome
from os_update_agent.model.errors import UsageError
from os_update_agent.text.outcomes import shown

# The name of hooks/package-update: heat-config finds a hook by the name of the group.
GROUP = "package-update"


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Run the deployment. Returns the exit status, 1 also if its result is owed to Heat or was refused."""
    text = _read(arguments.file)
    deployment = parse(text)
    watcher, signals = watcher_of(settings, quiet=arguments.quiet), not arguments.no_signal
    sending = watcher.sending if watcher is not None else None
    try:
        body = json.loads(deliver(settings, deployment, signals=signals, watch=watcher, sending=sending))
    except KeyboardInterrupt:
        signal = signal_of(settings, deployment.id)
        if signal is None:
            raise
        raise no_longer_sending((signal,)) from None
    finally:
        if watcher is not None:
            watcher.close()
    signal = signal_of(settings, deployment.id) if signals else None
    outputs = {name: value for name, value in body.items() if not name.startswith("deploy_")}
    told = {**views.signal_document(signal), "standing": signal.standing} if signal is not None else None
    outcome = Outcome(body.get("deploy_status_code", 0), *_texts(body), {**outputs, "signal": told})
    status = print_result(arguments, outcome)
    if signal is None:
        return status
    if not arguments.json:
        write_line(line_of(signal))
    return status or int(signal.standing in ("owed", "refused"))


def _read(file: str) -> str:
    """Return the text of a deployment of this hook. Raises UsageError."""
    try:
        # Not bounded_files: a person may give a pipe.
        with open(file, "rb") as content:
            found = content.read(COPY_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    if len(found) > COPY_LIMIT:
        raise UsageError(f"{file} is longer than {size(COPY_LIMIT)}, so it was not read")
    text = found.decode("utf-8", "replace")
    _check_group(file, text)
    return text


def _check_group(file: str, text: str) -> None:
    """Raise UsageError for a deployment of another hook: heat-config keeps those of all hooks in one directory."""
    group = None
    with contextlib.suppress(ValueError, AttributeError):
        # The parser reports everything else that is wrong with the text.
        group = read_json(text, COPY_LIMIT).get("group")
    if group not in (None, GROUP):
        raise UsageError(f"{file}: its group is {shown(group)}, which is another hook's; it must be {GROUP!r}")


def _texts(body: Dict[str, Any]) -> Tuple[str, str]:
    """Return the hook's stdout and stderr; another hook's result may lack either."""
    return str(body.get("deploy_stdout") or ""), str(body.get("deploy_stderr") or "")
