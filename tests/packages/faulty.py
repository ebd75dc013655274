"""A file server for a repository's directory that fails as real mirrors do, for the paths that a test names."""

import functools
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, List, Optional, Type
from urllib.parse import unquote

CHUNK = 16384
PAUSE = 0.1  # seconds between two chunks of a slow answer


class FaultyServer:
    """Serves between ``with`` and its end, on a free port of the loopback address.

    ``faults`` maps a part of a path to what happens to every request for such a path, from now on:
    "404", "503"    the server says so
    "drop"          it hangs up without a word
    "cut"           half of the file comes, then it hangs up
    "corrupt"       the whole file comes, with one byte changed
    "hang"          it takes the request and stays silent until the server is closed
    "slow"          the file comes in small pieces
    ``requests`` lists the paths that were asked for.
    """

    def __init__(self, directory: Path) -> None:
        self.faults: Dict[str, str] = {}
        self.requests: List[str] = []
        self.closing = threading.Event()
        handler = functools.partial(_Handler, directory=str(directory), faulty=self)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> "FaultyServer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def fault_of(self, path: str) -> Optional[str]:
        return next((fault for part, fault in self.faults.items() if part in path), None)


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: Any, faulty: FaultyServer, **options: Any) -> None:
        self.faulty = faulty
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        path = unquote(self.path)
        self.faulty.requests.append(path)
        fault = self.faulty.fault_of(path)
        if fault is None:
            super().do_GET()
        elif fault.isdigit():
            self.send_error(int(fault))
        elif fault in ("drop", "hang"):
            self.close_connection = True
            self.faulty.closing.wait(timeout=None if fault == "hang" else 0)
        else:
            self._spoil(fault)

    def _spoil(self, fault: str) -> None:
        try:
            content = bytearray(Path(self.translate_path(self.path)).read_bytes())
        except OSError:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "cut":
            del content[len(content) // 2 :]
            self.close_connection = True
        elif fault == "corrupt":
            content[len(content) // 2] ^= 0xFF
        elif fault != "slow":
            raise ValueError(f"there is no fault {fault!r}")
        for start in range(0, len(content), CHUNK):
            self.wfile.write(content[start : start + CHUNK])
            time.sleep(PAUSE if fault == "slow" else 0)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing on the terminal: ``requests`` is the log."""
