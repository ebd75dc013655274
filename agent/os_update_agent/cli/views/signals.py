"""A result on its way to Heat, with advice. Pure."""

from os_update_agent.cli.views.base import Document
from os_update_agent.model.deliveries import OwedSignal
from os_update_agent.text.outcomes import when

_ADVICE = {
    "owed": "; 'os-update-agent resume' tries again",
    "refused": "; Heat does not take it: 'openstack stack resource signal' tells it by hand",
}


def signal_document(signal: OwedSignal) -> Document:
    return {
        "deployment": signal.config_id,
        "tries": signal.tries,
        "last_answer": signal.last_answer,
        "since": when(signal.updated),
    }


def signal_line(standing: str, signal: Document) -> str:
    """Return a line about a signal; ``signal`` is its document."""
    what = "dropped, a newer delivery came" if standing == "superseded" else signal["last_answer"] or "not tried yet"
    return f"signal {standing}: deployment {signal['deployment']}: {what}{_ADVICE.get(standing, '')}"
