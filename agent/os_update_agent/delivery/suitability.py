"""Whether a delivery may touch the packages of this node at all: asked before anything else is done for it."""

from os_update_agent.config.policy import Policy
from os_update_agent.config.settings import Settings
from os_update_agent.decision import table
from os_update_agent.decision.table import Decision
from os_update_agent.model.errors import PendingBoot, UnsuitableNode
from os_update_agent.model.phases import ASSESS, DOWNLOAD, RESTORE, START, STOP, UPDATE
from os_update_agent.node.kind import unsuitable
from os_update_agent.node.offline_updates import next_boot


def why_unsuitable(settings: Settings) -> str:
    """Return why the packages of this node are not the agent's to change, "" if they are."""
    return "" if settings.kind == "package-based" else unsuitable(settings.root)


def check_suitable(settings: Settings, policy: Policy, what: Decision) -> None:
    """Refuse what the node does not allow. Raises UnsuitableNode, PendingBoot.

    A stop or a start of services needs no package. A baseline would promise updates that cannot come.
    """
    needs_packages = what.do in (UPDATE, RESTORE, DOWNLOAD, ASSESS)
    if needs_packages or (what.do == table.BASELINE and policy.operation not in (STOP, START)):
        why = why_unsuitable(settings)
        if why:
            raise UnsuitableNode(why)
    if what.do == UPDATE:
        why = refused_by_next_boot(settings, policy)
        if why:
            raise PendingBoot(why)


def refused_by_next_boot(settings: Settings, policy: Policy) -> str:
    """Return why an update that may end with a reboot is refused, "" if it is not.

    That boot would change the packages once more, after the run has compared them with its plan. A way back is never
    refused for it: it leaves the reboot out (runs/restart.py).
    """
    if policy.reboot == "never" or settings.services is None:
        return ""
    pending = next_boot(settings.root)
    if not pending:
        return ""
    return (
        f"the next boot applies {pending}, and this update may end with a reboot (reboot: {policy.reboot}), after"
        " which the node would have other packages than planned"
    )
