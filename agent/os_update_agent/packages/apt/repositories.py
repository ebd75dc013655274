"""The offers of apt's repositories: apt-get refreshes the index and downloads, a worker reads through apt's library.

The worker opens apt's cache once and answers which updates are possible, why others are not, and sizes and digests. It
was measured against what apt-get offers to programs: Debian 12's index (108,000 names), 763 packages installed, 133 of
them to change, apt 2.6, processor time of all processes with apt's cache file on the disk:

  apt-get -s dist-upgrade               2.6 s  walks the whole cache for each change; each reason for a package that is
                                               kept back needs another simulation
  apt-get --print-uris dist-upgrade     0.8 s  no removals, no packages kept back, no reasons
  apt-get, EDSP (APT::Solver::dump)     0.6 s  and 30 MB of text to solve ourselves, without phasing, sizes and digests
  this worker, from start to end        0.8 s  plan, reasons, sizes and digests of 133 new and 133 old packages; until
                                               then apt-get -s, apt-cache show and apt-get download --print-uris: 2.5 s

The protocol of DPkg::Pre-Install-Pkgs describes a transaction that has begun, so it is no way to plan one. The output
of apt-get changes with apt's version and the node's apt.conf; the library has no such words.
"""

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Sequence, Tuple

from os_update_agent.model.errors import PackageError
from os_update_agent.model.package_files import Offer
from os_update_agent.model.packages import Change, HeldBack, Package, PackageState, Selection
from os_update_agent.packages.apt import parse
from os_update_agent.packages.apt.answers import as_attempted, as_upgraded
from os_update_agent.packages.apt.candidates import candidates
from os_update_agent.packages.apt.commands import exact
from os_update_agent.packages.apt.options import NO_RELEASE
from os_update_agent.packages.apt.preferences import SECURITY_FIRST, against
from os_update_agent.packages.apt.protocol import Attempt, Attempted, Available, Offered, Update, Upgrade, Upgraded
from os_update_agent.packages.apt.rehearsal import Rehearsals
from os_update_agent.packages.worker.child import WorkerProcess

# The Python of the system, which has apt's library.
PYTHON = "/usr/bin/python3"
_PROGRAM = "worker/main.py"
_NOT_REFRESHED = re.compile(
    r"^[EW]: (Failed to fetch|Some index files failed|GPG error|An error occurred during the signature"
    r"|Skipping acquire of .* provides only weak security information)",
    re.M,
)


@dataclass
class Repositories(Rehearsals):
    """The members of Backend that ask or use the repositories."""

    _child: Optional[WorkerProcess] = field(default=None, init=False, repr=False)

    def refresh(self) -> None:
        """Fetch the package index anew; every repository has to answer. Raises PackageError, Busy."""
        self._dismiss()
        done = self._patient("-o", "APT::Update::Error-Mode=any", "update", locks=[self._index_lock])
        if done.returncode or _NOT_REFRESHED.search(done.stdout):
            raise PackageError(f"the package index cannot be refreshed: {parse.first_error(done.stdout)}")

    def candidates(self, state: PackageState, selection: Selection) -> Tuple[Tuple[Change, ...], Tuple[HeldBack, ...]]:
        """See Backend."""
        return candidates(_Planner(self, selection), state, selection)

    def available(self, packages: Sequence[Package]) -> Tuple[Mapping[Package, Offer], Tuple[Package, ...]]:
        """See Backend."""
        if not packages:
            return {}, ()
        answer = self._ask(Available(tuple(package.identity for package in packages)))
        given = zip(packages, answer)
        offers = ((package, Offered(*offer)) for package, offer in given if offer is not None)
        found = {package: Offer(offer.size, offer.installed // 1024, offer.sha256) for package, offer in offers}
        return found, tuple(package for package in packages if package not in found)

    def fetch(self, packages: Sequence[Package]) -> None:
        """Download the packages into the archive; apt checks each against the signed index. Raises PackageError."""
        if not packages:
            return
        options = ("-o", "APT::Sandbox::User=root", *NO_RELEASE)
        done = self._downloading(*options, "download", *map(exact, packages), cwd=self.archive)
        if done.returncode:
            raise PackageError(f"packages cannot be fetched: {parse.first_error(done.stdout)}")

    # --- the worker

    @contextmanager
    def session(self) -> Iterator[None]:
        """See Backend. The worker is started when it is first asked."""
        try:
            yield
        finally:
            self._dismiss()

    def _ask(self, request: Any) -> Any:
        """Return what the worker answers, whose shape protocol.py describes. Raises PackageError."""
        if self._child is None or not self._child.is_alive:
            self._dismiss()
            if not Path(PYTHON).exists():
                raise PackageError(f"{PYTHON} is missing (apt-get install python3-apt)")
            program = Path(__file__).parent / _PROGRAM
            environment = self._environment()
            self._child = WorkerProcess("apt", PYTHON, program, [str(self.root)], work=self.work, env=environment)
        reply = self._child.ask(request)
        if reply.error:
            raise PackageError(" ".join(reply.error.split()))
        return reply.answer

    def _dismiss(self) -> None:
        """Let the worker end: it holds the whole index in memory."""
        if self._child is not None:
            self._child.close()
            self._child = None


class _Planner:
    """The worker, asked for one selection."""

    def __init__(self, calls: Repositories, selection: Selection) -> None:
        self._calls = calls
        self._exclude = selection.exclude
        self._pins: Tuple[str, ...] = ()
        if selection.security:
            self._pins = (str(calls._generated("security-first.pref", SECURITY_FIRST)),)
        self._narrow = self._pins
        if selection.exclude:
            self._narrow = (*self._pins, str(calls._generated("exclude.pref", against(selection.exclude))))

    def upgrade(self) -> Upgraded:
        return as_upgraded(self._calls._ask(Upgrade(self._pins, self._calls._setting("APT::Solver"))))

    def attempt(self, base: Sequence[Update], updates: Sequence[Update]) -> Attempted:
        request = Attempt(self._narrow, tuple(self._exclude), tuple(base), tuple(updates))
        return as_attempted(self._calls._ask(request))
