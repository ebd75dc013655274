"""The entry of the child that speaks dnf 4's own API: ``python3 -I -B dnf4_worker.py ROOT DESCRIPTOR``.

It runs under the system's Python (3.6 or later), which has the bindings dnf, libdnf and rpm; the agent's own Python may be another
one. DESCRIPTOR is a socket. Each request comes as one byte with a file, then a line of JSON: "action", "root", and what the action
needs. What dnf and scriptlets print goes to the file, which is nobody's data; the answer is one line of JSON: {"answer": ...},
{"busy": why} or {"error": why}. ROOT is for those who look at the list of processes.
"""

import array
import json
import os
import signal
import socket
import sys
import traceback
from typing import Any, Dict, Optional

READING = ("refresh", "candidates", "available", "fetch")


def main(descriptor: int) -> None:
    # Appended, never first: a module beside this one is called dnf, too.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    # Scriptlets must not inherit it: one that leaves a process behind would keep it open.
    os.set_inheritable(descriptor, False)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=descriptor)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        # rpm finishes its transaction and dies then; dnf would be left without its record. No SIG_IGN: scriptlets would inherit it.
        signal.signal(number, lambda *_: None)
    desk = Desk()
    try:
        while True:
            request = _received(link)
            if request is None:
                return
            answer = desk.answer(request)
            sys.stdout.flush()
            link.sendall(json.dumps(answer).encode() + b"\n")
    except OSError:
        # Nobody is at the other end any more.
        return
    finally:
        desk.clear()


def _received(link: socket.socket) -> Optional[Dict[str, Any]]:
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


class Desk:
    """Answers requests. The Base that has read the repositories is kept for those that only read, until something has changed."""

    def __init__(self) -> None:
        self._base = None  # type: Any
        self._cookie = ""
        self._is_planned = False

    def answer(self, request: Dict[str, Any]) -> Dict[str, Any]:
        try:
            import dnf.exceptions  # type: ignore
        except ImportError as error:
            return {"error": f"{sys.executable} has no bindings of dnf 4: {error}"}
        from os_update_agent.packages import dnf4_base, dnf4_fetch, dnf4_interrupted, dnf4_solver, dnf4_transaction

        actions = {
            "refresh": dnf4_base.refresh,
            "reasons": dnf4_base.reasons,
            "candidates": dnf4_solver.candidates,
            "available": dnf4_fetch.available,
            "fetch": dnf4_fetch.fetch,
            "effect": dnf4_transaction.effect,
            "transact": dnf4_transaction.transact,
            "mark": dnf4_transaction.mark,
            "complete": dnf4_interrupted.complete,
        }
        action = request["action"]
        is_kept = False
        try:
            answer = {"answer": actions[action](self._prepared(request), request)}
            is_kept = action in READING
            return answer
        except dnf.exceptions.LockError as error:
            return {"busy": str(error)}
        except (dnf.exceptions.Error, dnf4_base.Refused, OSError) as error:
            return {"error": str(error).strip() or type(error).__name__}
        except Exception as error:
            # hawkey and libdnf raise classes of their own, without one parent.
            traceback.print_exc()
            return {"error": f"{type(error).__name__}: {error}"}
        finally:
            if not is_kept:
                self.clear()

    def _prepared(self, request: Dict[str, Any]) -> Any:
        """A Base for the request: the kept one, where it still tells the truth and nothing that matters was hidden in it."""
        from os_update_agent.packages import dnf4_base

        action, cookie = request["action"], dnf4_base.cookie(request["root"])
        is_planned = action == "candidates"
        if self._base is None or action not in READING[1:] or cookie != self._cookie or (is_planned and self._is_planned):
            self.clear()
            self._base = dnf4_base.opened(request)
            self._cookie = cookie
        self._is_planned = self._is_planned or is_planned
        return self._base

    def clear(self) -> None:
        if self._base is not None:
            from os_update_agent.packages import dnf4_base

            base, self._base = self._base, None
            dnf4_base.close(base)
        self._is_planned = False


if __name__ == "__main__":
    main(int(sys.argv[2]))
