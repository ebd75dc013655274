"""A real HTTP server that plays heat-api-cfn, Swift, keystone, heat-api and Zaqar, with all the ways in which they can
fail.
"""

import json
import socket
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

LARGEST_BODY = 1024 * 1024
USER, PASSWORD, PROJECT, TOKEN = "user-0123", "made^up&pass%word#1", "4567", "token-made-up-0123456789"

# An HTTP status, or "hang" (nothing is sent), "trickle" (headers byte by byte, for ever), "drop" (closed without an
# answer), "garble" (a header that is none), "endless" (200 and a body without an end), "text" (200 and a page).
Behaviour = Union[int, str]


@dataclass(frozen=True)
class Request:
    """What arrived: ``target`` is the request line's middle part, byte for byte; the headers' names are in lower
    case.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class SignalServer:
    """Use as a context manager; ``url`` is its root. Behaviours may be changed at any time."""

    certificate: Optional[Tuple[str, str]] = None
    behaviour: Behaviour = 200
    keystone: Behaviour = 201
    regions: Tuple[str, ...] = ("RegionOne",)
    requests: List[Request] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    # The header Last-Modified, and the header Date in place of the present time: "" is none.
    last_modified: str = ""
    date: Optional[str] = None

    def __enter__(self) -> "SignalServer":
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self._server.server_address[1]}"

    def to(self, prefix: str) -> List[Request]:
        """The requests to targets that start like this."""
        return [request for request in self.requests if request.target.startswith(prefix)]

    def answer_to(self, request: Request) -> Tuple[Behaviour, Mapping[str, str], Any]:
        """The status (or a behaviour), the headers and the JSON body for a request."""
        if request.target.startswith("/v3"):
            return self._keystone(request)
        if request.target.startswith(("/heat/", "/zaqar/")) and request.headers.get("x-auth-token") != TOKEN:
            return 401, {}, {"error": {"message": "Authentication required"}}
        if request.target.startswith("/zaqar/") and self.behaviour == 201:
            return 201, {}, {"resources": ["/v2/queues/q/messages/1"]}
        location = (
            {"location": f"{self.url}/elsewhere"}
            if isinstance(self.behaviour, int) and 300 <= self.behaviour < 400
            else {}
        )
        return self.behaviour, location, {}

    def _keystone(self, request: Request) -> Tuple[Behaviour, Mapping[str, str], Any]:
        """POST /v3/auth/tokens of the Identity API v3: password in, token and catalog out."""
        if self.keystone != 201 or request.method != "POST" or request.target != "/v3/auth/tokens":
            return (self.keystone if self.keystone != 201 else 404), {"location": f"{self.url}/elsewhere"}, {}
        asked = json.loads(request.body)["auth"]
        user = asked["identity"]["password"]["user"]
        if (user["id"], user["password"], asked["scope"]["project"]["id"]) != (USER, PASSWORD, PROJECT):
            return (
                401,
                {},
                {
                    "error": {
                        "code": 401,
                        "message": f"The password {user['password']} is wrong.",
                        "title": "Unauthorized",
                    }
                },
            )
        catalog = [self._service("orchestration", f"/heat/v1/{PROJECT}"), self._service("messaging", "/zaqar")]
        token = {
            "methods": ["password"],
            "catalog": catalog,
            "user": {"id": USER, "name": "u", "domain": {"id": "d", "name": "d"}},
        }
        token.update({"expires_at": "2999-01-01T00:00:00.000000Z", "issued_at": "2026-01-01T00:00:00.000000Z"})
        token["project"] = {"id": PROJECT, "name": "p", "domain": {"id": "d", "name": "d"}}
        return 201, {"X-Subject-Token": TOKEN}, {"token": token}

    def _service(self, kind: str, path: str) -> Dict[str, Any]:
        endpoints = [
            {"interface": interface, "region": region, "region_id": region, "id": interface, "url": url}
            for region in self.regions
            for interface, url in (("internal", "http://192.0.2.1/not-for-guests"), ("public", self.url + path))
        ]
        return {"type": kind, "name": kind, "id": kind, "endpoints": endpoints}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    owner: SignalServer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what half of the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: _Server

    def answer(self) -> None:
        length = int(self.headers.get("content-length", 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.requestline.split(" ")[1], headers, self.rfile.read(length))
        self.server.owner.requests.append(request)
        status, more, content = self.server.owner.answer_to(request) if length <= LARGEST_BODY else (413, {}, {})
        if isinstance(status, str):
            self.close_connection = True
            getattr(self, f"_{status}")()
            return
        text = json.dumps(content).encode()
        date = self.server.owner.date
        self.send_response_only(status)
        dates = {
            "date": self.date_time_string() if date is None else date,
            "last-modified": self.server.owner.last_modified,
        }
        more = {**more, **{name: value for name, value in dates.items() if value}}
        for name, value in {**more, "content-type": "application/json", "content-length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = answer

    def _hang(self) -> None:
        self.server.owner.closing.wait(60)

    def _trickle(self) -> None:
        self._drip(b"HTTP/1.1 200 OK\r\nx-slow: ")

    def _endless(self) -> None:
        self._drip(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")

    def _drip(self, start: bytes) -> None:
        self.wfile.write(start)
        while not self.server.owner.closing.wait(0.02):
            self.wfile.write(b"x")

    def _drop(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)

    def _garble(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nno header at all\r\n\r\n")

    def _text(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-type: text/html\r\n\r\n<p/>")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests look at what was recorded."""
