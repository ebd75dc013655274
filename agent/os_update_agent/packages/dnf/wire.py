"""Requests and answers of dnf's worker on their way through a socket. Both sides use it: Python 3.6.

A request travels as one byte with an open file attached (SCM_RIGHTS), then its line. Whatever dnf and scriptlets print
goes to that file; it is never an answer. The answer is one line.
"""

import array
import socket
from typing import List, Optional, Tuple

from os_update_agent.packages.dnf.lines import as_line, as_reply, reply_line
from os_update_agent.packages.dnf.protocol import Reply, Request

_BLOCK = 1 << 16
# An answer about 50,000 packages has 20 MiB.
LINE_LIMIT = 64 << 20


def send_request(link: socket.socket, request: Request, output: int) -> None:
    """Send a request with the descriptor of the file that output goes to. For the agent: Python 3.9. Raises OSError."""
    socket.send_fds(link, [b"!"], [output])
    link.sendall(as_line(request))


def receive_request(link: socket.socket) -> Tuple[bytes, List[int]]:
    """Return the line of the next request and the descriptors that came with it. The line is empty if the other end is
    closed. Raises OSError.
    """
    descriptors = array.array("i")
    byte, ancillary, _, _ = link.recvmsg(1, socket.CMSG_SPACE(descriptors.itemsize))
    for _, _, content in ancillary:
        descriptors.frombytes(content)
    return _received_line(link) if byte else b"", list(descriptors)


def send_reply(link: socket.socket, reply: Reply) -> None:
    """Send an answer. Raises OSError."""
    link.sendall(reply_line(reply))


def receive_reply(link: socket.socket) -> Optional[Reply]:
    """Return the answer to the request that was sent, None if the worker has ended. Raises OSError, ValueError."""
    line = _received_line(link)
    return as_reply(line) if line else None


def _received_line(link: socket.socket) -> bytes:
    """Return a line with its end; b"" if the other end is closed before that. Raises ValueError beyond LINE_LIMIT."""
    blocks = []  # type: List[bytes]
    length = 0
    while not blocks or not blocks[-1].endswith(b"\n"):
        block = link.recv(_BLOCK)
        if not block:
            return b""
        blocks.append(block)
        length += len(block)
        if length > LINE_LIMIT:
            raise ValueError(f"a line is longer than {LINE_LIMIT >> 20} MiB")
    return b"".join(blocks)
