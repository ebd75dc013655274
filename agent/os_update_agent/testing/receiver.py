"""An HTTP server on the loopback address that keeps each request: Heat's side of a signal."""

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Callable, List, Mapping, Tuple, Type, Union


@dataclass(frozen=True)
class Request:
    """One request. ``path`` includes the query; the names of the headers are in lower case."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Reply = Union[int, Tuple[int, bytes]]
Answer = Union[Reply, Callable[[Request], Reply]]


class Receiver:
    """A context manager that listens on a free port. It adds each request to ``received`` before it answers."""

    def __init__(self) -> None:
        self.received: List[Request] = []
        self._answer: Answer = 200
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{path.lstrip('/')}"

    def answer(self, answer: Answer) -> None:
        """Set the answer to all further requests: a status, a status and a body, or a function of the request."""
        self._answer = answer

    def _reply(self, request: Request) -> Tuple[int, bytes]:
        self.received.append(request)
        reply = self._answer(request) if callable(self._answer) else self._answer
        return (reply, b"") if isinstance(reply, int) else reply

    def _handler(self) -> Type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, content = receiver._reply(Request(self.command, self.path, body, headers))
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, format: str, *args: object) -> None:
                """Print nothing: ``received`` is the log."""

        return Handler
