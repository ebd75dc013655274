"""The heat-config hook: a deployment's JSON on standard input, one JSON object on standard output, logs on standard
error.

heat-config takes the printed object as the result and ignores the exit status then (heat-agents: 55-heat-config). So
the object always has a status code, and a traceback is never the answer.
"""

import logging
import os
import sys
from contextlib import suppress
from typing import Optional, TextIO

from os_update_agent.config.settings import Settings, load
from os_update_agent.delivery.answer import stored_result
from os_update_agent.delivery.deliver import deliver, refuse
from os_update_agent.heat.deployment import TEXT_LIMIT, parse
from os_update_agent.model.bounded_json import size
from os_update_agent.model.deliveries import Deployment
from os_update_agent.model.errors import AgentError, BadDeployment, known
from os_update_agent.node.inheritance import PRIVATE, correct_inheritance, give_up_unwritten
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

LOG_FORMAT = "[%(asctime)s] (os-update-agent) [%(levelname)s] %(message)s"


def main(stdin: Optional[TextIO] = None, stdout: Optional[TextIO] = None) -> int:
    """Answer the deployment on ``stdin``. Returns the exit status: 0 once a result is printed, whatever it says."""
    correct_inheritance(PRIVATE)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=LOG_FORMAT)
    # A log that takes no lines must not add a traceback.
    logging.raiseExceptions = False
    try:
        return _printed(_body(stdin or sys.stdin), stdout or sys.stdout)
    finally:
        give_up_unwritten()


def _read(stdin: Optional[TextIO]) -> str:
    """Return the deployment's text. Raises BadDeployment."""
    if stdin is None:  # closed before Python started
        raise BadDeployment("the standard input is closed; it must be the deployment as a JSON object")
    try:
        found = stdin.buffer.read(TEXT_LIMIT + 1)
    except (OSError, ValueError) as error:
        raise BadDeployment(f"the standard input cannot be read ({type(error).__name__}: {error})") from error
    if len(found) > TEXT_LIMIT:
        raise BadDeployment(f"the deployment is longer than {size(TEXT_LIMIT)}, so it was not read")
    return found.decode("utf-8", "replace")


def _body(stdin: Optional[TextIO]) -> str:
    settings: Optional[Settings] = None
    deployment: Optional[Deployment] = None
    try:
        text = _read(stdin)
        trouble: Optional[AgentError] = None
        try:
            settings = load()
        except AgentError as error:
            trouble = error
        deployment = parse(text)
        if settings is None:
            raise BadDeployment(str(trouble), deployment=deployment)
        return deliver(settings, deployment)
    except Exception as error:
        if deployment is None and isinstance(error, BadDeployment):
            deployment = error.deployment
        log.error(logged(deployment=deployment.id if deployment else "unknown", refused=known(error)))
        return refuse(settings, deployment, error)
    except KeyboardInterrupt:
        stored = None
        with suppress(AgentError):
            stored = stored_result(settings, deployment.id) if settings and deployment else None
        if stored is None:
            # The delivery goes on in its worker: no result that is printed now would be true.
            raise
        return stored


def _printed(body: str, stdout: Optional[TextIO]) -> int:
    """Print the result. Returns 1 where nobody can read it: it is stored, and sent or still owed."""
    if stdout is None:  # closed before Python started
        log.critical(logged(printed="no", why="the standard output is closed"))
        return 1
    try:
        stdout.write(body)
        stdout.flush()
    except (OSError, ValueError) as error:
        log.critical(logged(printed="no", why=f"{type(error).__name__} on standard output"))
        # Python flushes once more when it ends, and would print a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
