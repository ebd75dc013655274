"""The verbs of the command line: each takes the settings and its arguments, prints its answer and returns the exit
status.
"""

from os_update_agent.cli.ahead import plan
from os_update_agent.cli.changing import prune_now, rollback, update
from os_update_agent.cli.heat import notify, replay, resume_now
from os_update_agent.cli.install import install_hook
from os_update_agent.cli.reading import difference, history, show, status
from os_update_agent.cli.shell import complete, demo, man

__all__ = [
    "complete",
    "demo",
    "difference",
    "history",
    "install_hook",
    "man",
    "notify",
    "plan",
    "prune_now",
    "replay",
    "resume_now",
    "rollback",
    "show",
    "status",
    "update",
]
