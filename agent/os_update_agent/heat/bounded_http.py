"""HTTP whose answers cost a bounded amount of memory and time, whatever a server sends.

- Answers are asked for without an encoding. One that comes packed all the same is refused: a kilobyte can unpack to a
  megabyte.
- A body is read up to ANSWER_LIMIT bytes, by http.client. It bounds each line (65,536 bytes) and the number of headers
  (100); urllib3's own reader of chunks does not bound a line.
- The timeouts of a socket start anew with every packet. ``Connections.end`` ends what goes on for too long: otherwise
  each try would leave a thread that reads for ever.

The libraries are loaded late (heat.signal.get_ready).
"""

import contextlib
import io
import threading
from typing import TYPE_CHECKING, Any, List

from os_update_agent.model.bounded_json import size
from os_update_agent.text.printable import printable

if TYPE_CHECKING:
    import socket

    import requests

# A token with its catalog: 60 services in 20 regions with 3 endpoints each, of 300 bytes, have 1 MiB.
ANSWER_LIMIT = 4 << 20
_BLOCK = 1 << 16
_SHOWN = 40
# socket.SHUT_RDWR: to import socket takes a hook 3 ms, and most deliveries send nothing.
_BOTH_WAYS = 2


class BadAnswer(Exception):
    """An answer that is not read: the text names the limit, or the encoding, in words that follow "the answer"."""


class Connections:
    """The connections of one try."""

    def __init__(self) -> None:
        # Copies of the descriptors: TLS takes the socket itself over.
        self._copies: List[socket.socket] = []
        self._is_over = False
        self._lock = threading.Lock()

    def add(self, connection: "socket.socket") -> None:
        """Note a new connection. Raises OSError after end()."""
        with self._lock:
            if self._is_over:
                raise OSError("the try is over")
            self._copies.append(connection.dup())

    def end(self) -> None:
        """End each connection: whoever waits for it gets an error, and no new one is made."""
        with self._lock:
            self._is_over = True
            for copy in self._copies:
                with contextlib.suppress(OSError):
                    copy.shutdown(_BOTH_WAYS)

    def close(self) -> None:
        with self._lock:
            self._is_over = True
            for copy in self._copies:
                copy.close()
            self._copies.clear()


def bounded_session(connections: Connections) -> "requests.Session":
    """Return a session whose answers are bounded. Of an answer that is asked for with ``stream``, and of a redirect,
    no body is read, and a redirect leads nowhere. A request raises BadAnswer besides the errors of requests.
    """
    import requests
    from requests.adapters import HTTPAdapter

    class BoundedAdapter(HTTPAdapter):
        """The adapter of requests, with these bounds."""

        def init_poolmanager(self, *arguments: Any, **keywords: Any) -> None:
            super().init_poolmanager(*arguments, **keywords)
            _watch(self.poolmanager, connections)

        def proxy_manager_for(self, *arguments: Any, **keywords: Any) -> Any:
            manager = super().proxy_manager_for(*arguments, **keywords)
            _watch(manager, connections)
            return manager

        def send(self, request: Any, stream: bool = False, **keywords: Any) -> Any:  # type: ignore[override]
            request.headers["Accept-Encoding"] = "identity"
            response = super().send(request, stream=True, **keywords)
            # requests reads the whole body of a redirect, to look where it leads.
            response.headers.pop("location", None)
            # Decoders such as the one for "punycode" take time in proportion to the square of the length.
            response.encoding = "utf-8"
            try:
                content = b"" if stream or 300 <= response.status_code < 400 else _body(response)
            except BadAnswer:
                raise
            except Exception as error:
                # Those of urllib3, which requests turns into its own only where it reads a body itself.
                raise requests.ConnectionError(type(error).__name__) from error
            finally:
                response.raw.close()
            response.raw = io.BytesIO(content)
            return response

    session = requests.Session()
    for prefix in ("http://", "https://"):
        session.mount(prefix, BoundedAdapter())
    return session


def _body(response: Any) -> bytes:
    """Return the body. Raises BadAnswer, and the errors of urllib3."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise BadAnswer(f"has the content encoding {printable(encoding)[:_SHOWN]!r}, which was not asked for")
    length = response.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > len(str(ANSWER_LIMIT)) or int(length) > ANSWER_LIMIT):
        raise BadAnswer(f"is longer than {size(ANSWER_LIMIT)} (it has {length[:_SHOWN]} bytes)")
    blocks: List[bytes] = []
    room = ANSWER_LIMIT
    while block := response.raw.read(_BLOCK, decode_content=False):
        blocks.append(block)
        room -= len(block)
        if room < 0:
            raise BadAnswer(f"is longer than {size(ANSWER_LIMIT)}")
    return b"".join(blocks)


def _watch(manager: Any, connections: Connections) -> None:
    """Have the pools of a manager note each connection that they make."""
    manager.pool_classes_by_scheme = {
        scheme: _watched_pool(pool, connections) for scheme, pool in manager.pool_classes_by_scheme.items()
    }


def _watched_pool(pool: Any, connections: Connections) -> Any:
    class Watched(pool.ConnectionCls):  # type: ignore[misc]
        """A connection that is noted once it is made, before TLS begins."""

        def _new_conn(self) -> Any:
            connection = super()._new_conn()
            try:
                connections.add(connection)
            except OSError:
                connection.close()
                raise
            return connection

    return type(pool.__name__, (pool,), {"ConnectionCls": Watched})
