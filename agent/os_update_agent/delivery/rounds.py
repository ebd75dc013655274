"""Tries several results in turn until each is settled or its time is over, so that a silent server delays no other one.

Each result has its own pauses and its own end. A server that has kept one try waiting is asked for its other results
only after the next pause: the results for other servers go first. Nothing here knows what a try is.
"""

import time
from dataclasses import dataclass
from typing import Callable, Iterable, List, NamedTuple, Optional

from os_update_agent.heat.signal_answers import AGAIN, Answer

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
# Between two looks at a result that another process is sending.
FIRST_LOOK = 0.02
LONGEST_LOOK = 2.0
# Between two looks for further results, in the pauses.
LOOK_SECONDS = 1.0
# A server that needs longer for one try is silent.
SILENT_SECONDS = 5.0


def _chance() -> float:
    import random  # late: only a signal that is not taken at once needs it

    return random.random()


class Patience(NamedTuple):
    """How long to try one signal: ``total`` seconds for all tries; 0 is one try. Pauses double and are jittered."""

    total: float = 600.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = _chance


class Tried(NamedTuple):
    """The outcome of one try: the answer, None if nothing is owed any more. ``is_claimed``: another process is sending
    the result just now, so there was no try.
    """

    answer: Optional[Answer] = None
    is_claimed: bool = False


@dataclass
class Turn:
    """One result in the round.

    Attributes:
        attempt: Makes one try.
        end: The time after which no other try begins; a first one always does.
        due: The time of the next try.
        again: Is called with the answer before each pause.
        given_up: Is called with the answer when the time is over.
        server: The name of the server that the result is sent to.
        last: The last answer; None once nothing is owed.
        is_over: The result is settled, or its time is over.
    """

    attempt: Callable[[], Tried]
    end: float
    due: float
    again: Callable[[str], None]
    given_up: Callable[[str], None]
    server: str = ""
    tries: int = 0
    pause: float = FIRST_PAUSE
    look: float = FIRST_LOOK
    last: Optional[Answer] = None
    is_over: bool = False


def take_turns(
    turns: Iterable[Turn], patience: Patience, more: Optional[Callable[[], Iterable[Turn]]] = None
) -> List[Turn]:
    """Try each result until it is over. Return them all.

    ``more`` returns further results; it is asked before each try and at least once a second.
    """
    known = list(turns)
    while True:
        known += more() if more is not None else ()
        left = [turn for turn in known if not turn.is_over]
        if not left:
            return known
        turn = min(left, key=lambda one: (one.due, one.tries))
        wait = turn.due - patience.clock()
        if wait > 0:
            patience.sleep(min(wait, LOOK_SECONDS) if more is not None else wait)
        else:
            _take(turn, left, patience)


def _take(turn: Turn, left: Iterable[Turn], patience: Patience) -> None:
    begun = patience.clock()
    tried = turn.attempt()
    now = patience.clock()
    if tried.is_claimed:
        turn.due, turn.look = now + turn.look, min(turn.look * 2, LONGEST_LOOK)
        return
    turn.tries, turn.last, turn.look = turn.tries + 1, tried.answer, FIRST_LOOK
    if tried.answer is None or tried.answer.verdict != AGAIN:
        turn.is_over = True
        return
    # Full jitter on the upper half: a thousand nodes must not come back in the same second.
    turn.due = now + turn.pause * (0.5 + patience.jitter() / 2)
    if turn.due > turn.end:
        turn.is_over = True
        turn.given_up(tried.answer.reason)
    else:
        turn.again(tried.answer.reason)
    turn.pause = min(turn.pause * 2, LONGEST_PAUSE)
    if now - begun >= SILENT_SECONDS:
        for other in left:
            if other.server == turn.server:
                other.due = max(other.due, turn.due)
