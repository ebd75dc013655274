"""heat-config's own copy of a delivery: it holds the signal's secrets for ever, and heat-config-notify signals from it.

Once a result is delivered or superseded the signal inputs are taken out of the copy (heat-agents: 55-heat-config,
deployed/ID.json). The secrets are gone then, and a superseded result, which would finish the newer deployment, is not
sent behind our back.
"""

import json
import logging
import os
from pathlib import Path
from typing import Any, Dict

from os_update_agent.config.bounded_files import read_bytes, words_of
from os_update_agent.model.bounded_json import TooLarge, read_json
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

_DIRECTORY = ("HEAT_CONFIG_DEPLOYED", "/var/lib/heat-config/deployed")
# A deployment of the largest size, with the indents of heat-config.
COPY_LIMIT = 16 << 20
_SECRET = ("deploy_signal_id", "deploy_password", "deploy_queue_id", "deploy_auth_url")


def without_signal(copy: Dict[str, Any]) -> Dict[str, Any]:
    """The delivery as one that nobody waits for. Pure."""
    inputs = [entry for entry in copy.get("inputs", []) if entry.get("name") not in _SECRET]
    for entry in inputs:
        if entry.get("name") == "deploy_signal_transport":
            entry["value"] = "NO_SIGNAL"
    return {**copy, "inputs": inputs}


def deployed_directory() -> Path:
    """Where heat-config keeps its copies."""
    return Path(os.environ.get(_DIRECTORY[0], _DIRECTORY[1]))


def forget_signal(config_id: str) -> None:
    """Take the signal out of heat-config's copy of the delivery, where there is one. A failure is logged."""
    directory = deployed_directory()
    path = directory / f"{config_id}.json"
    if path.name != f"{config_id}.json" or path.parent != directory:
        return
    try:
        copy = read_json(read_bytes(path, COPY_LIMIT), COPY_LIMIT)
        _replace(path, json.dumps(without_signal(copy), indent=2))
    except FileNotFoundError:
        return
    except (OSError, ValueError, AttributeError, TypeError) as error:
        why = words_of(error) if isinstance(error, (OSError, TooLarge)) else type(error).__name__
        log.warning(logged(deployment=config_id, copy=path, cleaned="no", why=why))


def _replace(path: Path, text: str) -> None:
    import tempfile  # late: there is a copy of Heat's own deliveries only

    descriptor, staging = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(staging, path)
    except OSError:
        os.unlink(staging)
        raise
