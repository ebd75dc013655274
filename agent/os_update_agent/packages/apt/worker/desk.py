"""The desk of apt's worker: opens apt's cache once for several requests. Runs in the worker, Python 3.9."""

import os
import sys
from typing import Any, Dict, Iterable, Iterator, Mapping, Optional, Tuple

from os_update_agent.packages.apt import protocol
from os_update_agent.packages.apt.worker.settings import use_those_of_apt_get, words_of
from os_update_agent.packages.worker import server
from os_update_agent.packages.worker.caller import Caller
from os_update_agent.packages.worker.replies import Refused, Reply, action_of

MISSING = "python3-apt, apt's library for Python, is missing (apt-get install python3-apt)"

# The files and directories that apt reads when it opens its cache, by the names of apt's settings.
_FILES = ("Dir::State::status", "Dir::State::extended_states", "Dir::Etc::sourcelist", "Dir::Etc::preferences")
_DIRECTORIES = ("Dir::State::lists", "Dir::Etc::sourceparts", "Dir::Etc::preferencesparts")

# Settings under which apt opens its cache on any node.
_WITHOUT = {"Dir::State::status": "/dev/null", "APT::Default-Release": ""}

Stamp = Tuple[Tuple[str, int, int, int], ...]


class AptDesk(server.Desk):
    """Answers requests with one opened cache, until a file has changed that it was made of."""

    kinds = protocol.KINDS

    def __init__(self) -> None:
        self._apt_pkg: Any = None
        self._opened: Any = None
        self._stamp: Stamp = ()

    def load(self) -> Any:
        """Import python-apt and read apt's configuration. Raises ImportError, and apt's own error."""
        if self._apt_pkg is None:
            import apt_pkg

            apt_pkg.init_config()
            use_those_of_apt_get(apt_pkg.config)
            apt_pkg.init_system()
            self._apt_pkg = apt_pkg
        return self._apt_pkg

    def answer(self, request: Any, caller: Caller) -> Reply:
        try:
            self.load()
        except ImportError as error:
            return Reply(error=f"{MISSING}: {sys.executable} says: {error}")
        except Exception as error:
            return Reply(error=f"apt's configuration cannot be read: {error}")
        try:
            return Reply(self._answers[action_of(request)](request))
        except (Refused, OSError) as error:
            return Reply(error=server.text_of(error))
        except self._apt_pkg.Error as error:
            return Reply(error=f"apt: {words_of(error)}")
        except Exception as error:
            sys.__excepthook__(*sys.exc_info())
            return Reply(error=f"{type(error).__name__}: {error}")

    @property
    def _answers(self) -> Dict[str, Any]:
        # Late: these import python-apt.
        from os_update_agent.packages.apt.worker import offers, planning

        return {
            "upgrade": lambda request: planning.upgrade(self._prepared(request.pins), request),
            "attempt": lambda request: planning.attempt(self._prepared(request.pins), request),
            "available": lambda request: offers.available(self._offering(), request),
        }

    def _offering(self) -> Any:
        """Return an opened cache with what the repositories have. python-apt opens none with the installed packages
        while one of them is half-installed and no repository has it, and none while no repository has the release that
        the node prefers.
        """
        from os_update_agent.packages.apt.worker.opened import Opened

        apt_pkg = self._apt_pkg
        try:
            return self._prepared(None)
        except apt_pkg.Error:
            before = {name: apt_pkg.config.find(name) for name in _WITHOUT}
        try:
            _set(apt_pkg, _WITHOUT)
            return Opened()
        finally:
            _set(apt_pkg, before)

    def _prepared(self, pins: Optional[Tuple[str, ...]]) -> Any:
        """Return the opened cache with these pins and no others; None: with any."""
        from os_update_agent.packages.apt.worker.opened import Opened

        stamp = self._stamped()
        if self._opened is None or stamp != self._stamp or not self._opened.takes(pins):
            self.clear()
            self._opened, self._stamp = Opened(), stamp
        self._opened.pin(pins or ())
        return self._opened

    def _stamped(self) -> Stamp:
        """Return a mark of the files that apt's cache is made of. It differs after each change."""
        config = self._apt_pkg.config
        paths = [config.find_file(name) for name in _FILES]
        for name in _DIRECTORIES:
            directory = config.find_dir(name)
            names = os.listdir(directory) if os.path.isdir(directory) else ()
            paths += [directory, *(os.path.join(directory, name) for name in names)]
        return tuple(sorted(_stamps(paths)))

    def tidy(self) -> None:
        """Keep the cache for the next request."""

    def clear(self) -> None:
        self._opened = None


def _stamps(paths: Iterable[str]) -> Iterator[Tuple[str, int, int, int]]:
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue
        yield path, status.st_ino, status.st_size, status.st_mtime_ns


def _set(apt_pkg: Any, settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        apt_pkg.config.set(name, value)
    # It remembers the status file.
    apt_pkg.init_system()
