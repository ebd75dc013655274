"""The results that Heat waits for, as the verbs that send them report them."""

import contextlib
from typing import Dict, Optional, Sequence

from os_update_agent.cli import views
from os_update_agent.config.settings import Settings
from os_update_agent.model.deliveries import OwedSignal
from os_update_agent.model.errors import AgentError, NoLongerWatched
from os_update_agent.runtime.context import Site, open_site


def refused_signals(site: Site) -> Dict[str, OwedSignal]:
    """Return the results that Heat has refused, by config id."""
    return {signal.config_id: signal for signal in site.ledger.signals() if signal.standing == "refused"}


def signal_of(settings: Settings, config_id: str) -> Optional[OwedSignal]:
    """Return the signal of a delivery; None if Heat waits for none, or if no ledger can be opened."""
    with contextlib.suppress(AgentError):
        return next(iter(open_site(settings).ledger.signals(config_id)), None)
    return None


def line_of(signal: OwedSignal) -> str:
    """Return one line about a signal."""
    return views.signal_line(signal.standing, views.signal_document(signal))


def no_longer_sending(signals: Sequence[OwedSignal]) -> NoLongerWatched:
    """Return the error for Ctrl-C after the work is done, while its result is perhaps unsent."""
    lines = "; ".join(map(line_of, signals)) or "nothing is owed"
    stopped = NoLongerWatched(f"no longer sending; the work itself is done: {lines}")
    stopped.advice = "'os-update-agent status' says what is owed to Heat"
    return stopped
