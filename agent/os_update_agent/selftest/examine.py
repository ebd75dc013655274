"""Runs checks one after the other. No check can end or delay the others."""

import threading
import time
from typing import Callable, Iterator, List, NamedTuple, Sequence

from os_update_agent.model.errors import AgentError
from os_update_agent.node.process import TimedOut
from os_update_agent.selftest.findings import Checked, Finding, failed, not_checked

# A question to a program, and all questions of one check, in seconds.
QUESTION_SECONDS, CHECK_SECONDS = 20.0, 40.0
_REPORT = "a check itself should not fail: report this line with the distribution and its version"


class Check(NamedTuple):
    """``look`` reads facts and returns the finding; ``limit`` is in seconds."""

    name: str
    look: Callable[[], Finding]
    limit: float = CHECK_SECONDS


def examine(checks: Sequence[Check], seconds: float) -> Iterator[Checked]:
    """Yield the finding of each check. After ``seconds`` the remaining checks are left out."""
    end = time.monotonic() + seconds
    for check in checks:
        left = end - time.monotonic()
        if left <= 0:
            yield Checked(check.name, not_checked(f"the selftest has taken its {seconds:g} s"))
        else:
            yield Checked(check.name, _within(check, min(check.limit, left)))


def _within(check: Check, limit: float) -> Finding:
    """Return the finding, or that there was none within the limit (seconds)."""
    found: List[Finding] = []
    # A daemon: a file system that does not answer must not keep the command from ending.
    thread = threading.Thread(target=lambda: found.append(_looked(check)), daemon=True)
    thread.start()
    thread.join(limit)
    return found[0] if found else not_checked(f"no answer within {limit:.0f} s")


def _looked(check: Check) -> Finding:
    try:
        return check.look()
    except TimedOut as error:
        return not_checked(str(error))
    except (AgentError, OSError) as error:
        return failed(str(error), "fix the cause that is named here, then run the selftest again")
    except Exception as error:
        return failed(f"{type(error).__name__}: {error}", _REPORT)
