"""The heat-config hook: a deployment's JSON on standard input, one JSON object on standard output, logs on standard
error.

heat-config takes what is printed for the result and does not look at the exit status then (heat-agents:
55-heat-config), so a status code is always inside, and a traceback is never the answer.
"""

import json
import logging
import sys
from typing import Optional, TextIO

from os_update_agent.config.settings import Settings, load
from os_update_agent.delivery.deliver import deliver, refuse
from os_update_agent.heat.deployment import parse
from os_update_agent.model.errors import BUG_STATUS, AgentError, BadDeployment, bug
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

LOG_FORMAT = "[%(asctime)s] (os-update-agent) [%(levelname)s] %(message)s"


def main(stdin: Optional[TextIO] = None, stdout: Optional[TextIO] = None) -> int:
    """Answer the deployment on ``stdin``. Returns the exit status: 0 once an answer is printed, whatever it says."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=LOG_FORMAT)
    body = _body((stdin or sys.stdin).buffer.read().decode("utf-8", "replace"))
    out = stdout or sys.stdout
    out.write(body)
    out.flush()
    return 0


def _body(text: str) -> str:
    settings: Optional[Settings] = None
    try:
        trouble: Optional[AgentError] = None
        try:
            settings = load()
        except AgentError as error:
            trouble = error
        deployment = parse(text)
        if settings is None:
            raise BadDeployment(str(trouble), deployment=deployment)
        return deliver(settings, deployment)
    except BadDeployment as error:
        log.error(logged(deployment=error.deployment.id if error.deployment else "unknown", refused=error))
        return refuse(settings, error)
    except Exception as error:
        # A bug must still reach Heat as a failure.
        log.critical(logged(bug=bug(error)))
        return _failure(bug(error), BUG_STATUS)


def _failure(message: str, status: int) -> str:
    return json.dumps({"deploy_stdout": "", "deploy_stderr": f"{message}\n", "deploy_status_code": status})


if __name__ == "__main__":
    sys.exit(main())
