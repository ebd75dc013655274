"""The desk of dnf's worker, the same for each dnf: keeps a Base for the requests that it serves. Python 3.6."""

import sys
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from os_update_agent.packages.dnf import protocol
from os_update_agent.packages.dnf.protocol import Locked, Refused, Reply, Request
from os_update_agent.packages.worker import server
from os_update_agent.packages.worker.caller import Caller

# After these requests the Base is kept for further ones of them.
READING = (protocol.Refresh, protocol.Candidates, protocol.Available, protocol.Fetch, protocol.CheckUndo)
_CHANGING = (protocol.Transact, protocol.Mark, protocol.Complete, protocol.Erase, protocol.Enable)


class Dnf(NamedTuple):
    """What the modules of one dnf can do. Functions that answer a request have its name, take a Base and the request,
    and return what protocol.py says of it.

    ``opened`` returns a Base with the node's configuration for a request; ``close`` ends it. ``cookie`` returns a mark
    of what rpm's database below a root holds, which differs after each change. ``failure`` returns the answer for an
    exception that is dnf's own, None for a bug.
    """

    opened: Callable[[Request], Any]
    close: Callable[[Any], None]
    cookie: Callable[[str], str]
    failure: Callable[[Exception], Optional[Reply]]
    refresh: Callable[[Any, protocol.Refresh], Sequence[protocol.Identity]]
    reasons: Callable[[Any, protocol.Reasons], Dict[str, str]]
    candidates: Callable[[Any, protocol.Candidates], protocol.Planned]
    available: Callable[[Any, protocol.Available], Sequence[Optional[protocol.Offered]]]
    fetch: Callable[[Any, protocol.Fetch], None]
    checkundo: Callable[[Any, protocol.CheckUndo], protocol.UndoChecked]
    effect: Callable[[Any, protocol.Effect], protocol.Outcome]
    transact: Callable[[Any, protocol.Transact, Caller], protocol.Done]
    mark: Callable[[Any, protocol.Mark, Caller], None]
    complete: Callable[[Any, protocol.Complete, Caller], List[str]]
    erase: Callable[[Any, protocol.Erase, Caller], List[str]]
    enable: Callable[[Any, protocol.Enable, Caller], None]


class Desk(server.Desk):
    """Answers requests. The Base that has read the repositories is kept for requests that only read, until something
    has changed. The Base of a rehearsal is kept for its transaction.
    """

    kinds = protocol.KINDS

    def __init__(self, load: Callable[[], Dnf]) -> None:
        """``load`` imports the modules of a dnf. It raises ImportError if their bindings are missing."""
        self._load = load
        self._base = None  # type: Any
        self._cookie = ""
        self._is_planned = False
        self._is_kept = True
        self._rehearsed = None  # type: Optional[protocol.Effect]

    def load(self) -> Dnf:
        return self._load()

    def answer(self, request: Request, caller: Caller) -> Reply:
        is_kept = False
        dnf = None  # type: Optional[Dnf]
        try:
            dnf = self._load()
            self.tidy()
            base = self._prepared(dnf, request)
            do = getattr(dnf, protocol.action_of(request))
            reply = Reply(do(base, request, caller) if isinstance(request, _CHANGING) else do(base, request))
            is_kept = isinstance(request, (*READING, protocol.Effect))
            return reply
        except ImportError as error:
            return Reply(error=f"{sys.executable} has not the bindings that this needs: {error}")
        except Locked as error:
            return Reply(busy=str(error))
        except (Refused, OSError) as error:
            return Reply(error=server.text_of(error))
        except Exception as error:
            failure = dnf.failure(error) if dnf else None
            if failure is not None:
                return failure
            sys.__excepthook__(*sys.exc_info())
            return Reply(error=f"{type(error).__name__}: {error}")
        finally:
            self._is_kept = is_kept

    def tidy(self) -> None:
        """Close the Base of the last answer, unless it is kept. Called after the answer was sent, so that nobody waits
        for it.
        """
        if not self._is_kept:
            self.clear()

    def _prepared(self, dnf: Dnf, request: Request) -> Any:
        """Return a Base for the request: the kept one if it serves, else a new one."""
        cookie = dnf.cookie(request.root)
        if self._base is None or cookie != self._cookie or not self._serves(request):
            self.clear()
            self._base = dnf.opened(request)
            self._cookie = cookie
        if isinstance(request, protocol.Effect):
            self._rehearsed = request
        self._is_planned = self._is_planned or isinstance(request, protocol.Candidates)
        return self._base

    def _serves(self, request: Request) -> bool:
        """Does the kept Base serve the request? Planning hides packages in it, so it serves only one plan. A refresh
        needs a new one.
        """
        if isinstance(request, protocol.Transact):
            return self._rehearsed == protocol.Effect(request.root, request.todo)
        if self._rehearsed is not None or not isinstance(request, READING) or isinstance(request, protocol.Refresh):
            return False
        return not (self._is_planned and isinstance(request, protocol.Candidates))

    def clear(self) -> None:
        if self._base is not None:
            base, self._base = self._base, None
            self._load().close(base)
        self._is_planned, self._rehearsed = False, None
