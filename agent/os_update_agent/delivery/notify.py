"""A stand-in for heat-config-notify, for every hook of the node: os-update-agent notify DEPLOYED.json < result.json

The same calling convention (heat-agents: 55-heat-config runs what HEAT_CONFIG_NOTIFY names), with what that one lacks:
the answer's status is looked at, a result is stored and sent until it is taken, never for a deployment that was
overtaken, never the same delivery twice, and no URL is ever logged.
"""

import json
import logging
from pathlib import Path
from typing import Any, Optional, TextIO

from os_update_agent.config.bounded_files import read_text
from os_update_agent.config.settings import Settings, load
from os_update_agent.delivery.answer import Addressee, answer_with, is_superseded
from os_update_agent.heat.deployed_files import COPY_LIMIT
from os_update_agent.heat.deployment import parse
from os_update_agent.model.bounded_json import TooLarge, read_json
from os_update_agent.model.deliveries import Deployment
from os_update_agent.model.errors import BadDeployment, BadOption, LedgerError, UsageError
from os_update_agent.runtime.context import open_site
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

BODY_LIMIT = 900_000
# Most of it is text of which only the end is sent.
RESULT_LIMIT = 64 << 20
_TRIMMED = ("deploy_stdout", "deploy_stderr")


def notify(config: Optional[str], path: str, stdin: TextIO, patience: float) -> int:
    """Send a hook's result. Returns 0 when it is taken or not waited for, 1 when it is still owed or refused.

    ``config`` names the configuration file, as in ``load``. Raises UsageError for a file that is no delivery.
    """
    deployment = _deployment(path)
    if deployment.signal.transport == "NO_SIGNAL":
        return 0
    if is_superseded(deployment):
        why = "a newer deployment of the same resource has come"
        log.warning(logged(deployment=deployment.id, signal="superseded", why=why))
        return 0
    body = _body(_given(stdin))
    to = Addressee(Settings(), deployment, patience=patience)
    try:
        settings = load(config)
        to = to._replace(settings=settings)
        to = to._replace(site=open_site(settings))
    except (BadOption, LedgerError) as error:
        log.error(logged(deployment=deployment.id, kept="no", why=error))
    return 0 if answer_with(to, body) else 1


def _deployment(path: str) -> Deployment:
    try:
        return parse(read_text(Path(path), COPY_LIMIT, errors="replace"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except BadDeployment as error:
        # Other hooks' deployments may have inputs that ours would refuse: whom to signal is all that counts here.
        if error.deployment is None or not error.deployment.id:
            raise
        return error.deployment


def _given(stdin: Optional[TextIO]) -> bytes:
    """Return what the hook has printed, cut beyond RESULT_LIMIT; nothing where it cannot be read."""
    if stdin is None:  # closed before Python started
        return b""
    try:
        return stdin.buffer.read(RESULT_LIMIT + 1)
    except (OSError, ValueError):
        return b""


def _body(given: bytes) -> str:
    """The hook's result as Heat takes it: an object, below Heat's limit (its outputs are left alone, the long texts are
    cut).
    """
    why = "is not a JSON object"
    result: Any = None
    try:
        result = read_json(given.decode("utf-8", "replace"), RESULT_LIMIT)
    except TooLarge as error:
        why = str(error)
    except ValueError:
        pass
    if not isinstance(result, dict):
        result = {"deploy_stdout": "", "deploy_stderr": f"the hook's result {why}", "deploy_status_code": 1}
    for name in _TRIMMED:
        excess = len(json.dumps(result)) - BODY_LIMIT
        if excess > 0 and isinstance(result.get(name), str):
            result[name] = result[name][excess + 100 :]
    return json.dumps(result)
