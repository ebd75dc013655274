"""The worker's end of the link to the agent, the same for each dnf. Runs in the worker, Python 3.6.

Each request comes as one byte with a file, then a line of JSON: "action", "root", and what the action needs. What dnf
and scriptlets print goes to the file, which is nobody's data; the answer is one line of JSON: {"answer": ...}, {"busy":
why} or {"error": why}.
"""

import array
import contextlib
import json
import os
import signal
import socket
import sys
import traceback
from fnmatch import fnmatchcase
from typing import IO, Any, Callable, Dict, List, Optional, Sequence, Tuple

from os_update_agent.packages.complaints import as_line

Request = Dict[str, Any]

# Where a request has the socket that it came through, and what the rehearsal of its transaction has come to.
_LINK = "link"
_REHEARSAL = "rehearsal"

# The comment of a transaction of ours that another one takes back at once (dnf5_interrupted); behind it is what that
# one sets.
HALFWAY = "os-update-agent: set back in a moment: "

# After these the Base is kept for the next ones of them.
READING = ("refresh", "candidates", "available", "fetch")
# After the first one it is kept for the second one, where that asks for the very same.
_REHEARSING, _RUNNING = "effect", "transact"


class Refused(Exception):
    """What was asked for cannot be done; the text is for the operator."""


class Locked(Exception):
    """Somebody else is at work on the packages just now."""


class Desk:
    """Answers requests. The Base that has read the repositories is kept for those that only read, until something has
    changed; that of a rehearsal for the transaction."""

    def __init__(self) -> None:
        self._base = None  # type: Any
        self._cookie = ""
        self._is_planned = False
        self._is_kept = True
        self._rehearsed = None  # type: Optional[Request]
        self._rehearsal = {}  # type: Dict[str, Any]

    # --- what each dnf has of its own

    def actions(self) -> Dict[str, Callable[[Any, Request], Any]]:
        """What can be asked for, by its name. Raises ImportError where the bindings are missing."""
        raise NotImplementedError

    def opened(self, request: Request) -> Any:
        """A Base with the node's configuration."""
        raise NotImplementedError

    def close(self, base: Any) -> None:
        raise NotImplementedError

    def cookie(self, root: str) -> str:
        """A mark of what rpm's database holds: another one after each change."""
        raise NotImplementedError

    def failure(self, error: Exception) -> Optional[Dict[str, str]]:
        """The answer for an error that is dnf's business; None where it is a bug."""
        raise NotImplementedError

    # --- the same for all

    def answer(self, request: Request) -> Dict[str, Any]:
        action = request["action"]
        is_kept = False
        try:
            self.tidy()
            do = self.actions()[action]
            base = self._prepared(request)
            answer = {"answer": do(base, {**request, _REHEARSAL: self._rehearsal})}
            is_kept = action in (*READING, _REHEARSING)
            return answer
        except ImportError as error:
            return {"error": f"{sys.executable} has not the bindings that this needs: {error}"}
        except Locked as error:
            return {"busy": str(error)}
        except (Refused, OSError) as error:
            return {"error": _text(error)}
        except Exception as error:
            failure = self.failure(error)
            if failure is not None:
                return failure
            traceback.print_exc()
            return {"error": f"{type(error).__name__}: {error}"}
        finally:
            self._is_kept = is_kept

    def tidy(self) -> None:
        """Close the Base that the last answer came from, unless it is kept. Behind the answer: nobody has to wait for
        that.
        """
        if not self._is_kept:
            self.clear()

    def _prepared(self, request: Request) -> Any:
        """A Base for the request: the kept one, where it still tells the truth and nothing that matters was hidden in
        it.
        """
        action, cookie = request["action"], self.cookie(request["root"])
        is_planned = action == "candidates"
        asked = {name: value for name, value in request.items() if name not in ("action", _LINK)}
        if self._base is None or cookie != self._cookie:
            serves = False
        elif action == _RUNNING:
            serves = asked == self._rehearsed
        else:
            serves = self._rehearsed is None and action in READING[1:] and not (is_planned and self._is_planned)
        if not serves:
            self.clear()
            self._base = self.opened(request)
            self._cookie = cookie
        if action == _REHEARSING:
            self._rehearsed = asked
        self._is_planned = self._is_planned or is_planned
        return self._base

    def clear(self) -> None:
        if self._base is not None:
            base, self._base = self._base, None
            self.close(base)
        self._is_planned, self._rehearsed, self._rehearsal = False, None, {}


def rehearsed(request: Request, resolve: Callable[[], Any]) -> Any:
    """What ``resolve`` gives; for a transaction that was rehearsed on the same Base it is not resolved a second
    time.
    """
    rehearsal = request[_REHEARSAL]
    if not rehearsal:
        rehearsal["outcome"] = resolve()
    return rehearsal["outcome"]


class Countdown:
    """The lines that a file gets while packages are downloaded, for whoever watches: the module progress reads them."""

    def __init__(self, file: IO[str], total: int) -> None:
        self._file = file
        self._total = total
        self._begun: List[str] = []

    def begin(self, name: str) -> None:
        """The download of a package begins, as far as anybody knows; to be called as often as you like."""
        if name not in self._begun:
            self._begun.append(name)
            # Neither a full disk nor a file that is closed already may end a download.
            with contextlib.suppress(OSError, ValueError):
                self._file.write(f"[{len(self._begun)}/{self._total}] Downloading {name}\n")
                self._file.flush()


def all_of(request: Request, offers: Sequence[Optional[Any]]) -> List[Any]:
    """The packages that were found for those that the request wants. Raises Refused that names one that no repository
    has.
    """
    for wanted, pkg in zip(request["wanted"], offers):
        if pkg is None:
            raise Refused("no repository has {}.{} {}".format(*wanted))
    return list(offers)


def slot(name: str, arch: str, native: str) -> str:
    """The place that a package takes: at most one version may be there, unless it is install-only."""
    return name if arch in (native, "noarch") else f"{name}.{arch}"


def matching(name: str, arch: str, globs: Sequence[str]) -> Optional[str]:
    """The first of the globs that a package matches, as the module selection has it: by name, or with a colon by
    name:architecture.
    """
    return next((glob for glob in globs if fnmatchcase(f"{name}:{arch}" if ":" in glob else name, glob)), None)


def telling(name: str, arch: str, request: Request) -> Tuple[str, bool, bool, bool]:
    """To sort by: of one name the architecture first that an option means. Why that one is held back holds the others
    back, too.
    """
    excluded, selected = (matching(name, arch, request[option]) is None for option in ("exclude", "packages"))
    return name, excluded, selected, arch != request["native"]


def say(complaint: str) -> None:
    """Print the complaint into the log, onto the disk where that is one."""
    print(as_line(complaint))
    sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.fsync(sys.stdout.fileno())


def check_wanted(request: Request) -> None:
    """Asked just before a transaction, under dnf's lock where that can be: is whoever wants it still there? Raises
    Refused.

    Else the agent was killed while this was thought of, and the next one may have looked before the lock was taken, and
    gone on.
    """
    try:
        is_there = bool(request[_LINK].recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        is_there = True
    except OSError:
        is_there = False
    if not is_there:
        raise Refused("the agent that wanted this transaction is gone")


def serve(descriptor: int, desk: Desk) -> None:
    """Answer one request after the other, until nobody is at the other end of the socket any more."""
    # Scriptlets must not inherit it: one that leaves a process behind would keep it open.
    os.set_inheritable(descriptor, False)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=descriptor)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        # rpm finishes its transaction and dies then; dnf would be left without its record. No SIG_IGN: scriptlets would
        # inherit it.
        signal.signal(number, lambda *_: None)
    with contextlib.suppress(Exception):
        # Imported while the first request is thought of; what is wrong with it is told to whoever asks.
        desk.actions()
    try:
        while True:
            request = _received(link)
            if request is None:
                return
            answer = desk.answer({**request, _LINK: link})
            sys.stdout.flush()
            link.sendall(json.dumps(answer).encode() + b"\n")
            try:
                desk.tidy()
            except Exception:
                # Nobody waits for it; the next request begins anew.
                traceback.print_exc()
    except OSError:
        # Nobody is at the other end any more.
        return
    finally:
        desk.clear()


def _received(link: socket.socket) -> Optional[Request]:
    """The next request, with its file as standard output and error; None when there will be no other one."""
    descriptors = array.array("i")
    byte, ancillary, _, _ = link.recvmsg(1, socket.CMSG_SPACE(descriptors.itemsize))
    for _, _, content in ancillary:
        descriptors.frombytes(content)
    for descriptor in descriptors:
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)
    line = b""
    while byte and not line.endswith(b"\n"):
        byte = link.recv(1 << 16)
        line += byte
    return json.loads(line.decode()) if byte else None


def _text(error: Exception) -> str:
    return str(error).strip() or type(error).__name__
