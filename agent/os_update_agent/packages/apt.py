"""The apt backend: argument lists for apt-get, apt-mark, dpkg and dpkg-query. What they print is understood in apt_parse.

Laws of the tools that decide the shape (apt-get(8), apt.conf(5), dpkg(1)): `apt-get update` ends with 0 when a repository is down
unless APT::Update::Error-Mode says otherwise; `install name=version` makes a package manually installed and drops its hold;
nothing may be asked, so configuration files are decided by --force-conf*; output goes to a file, never to a pipe.
"""

import os
import re
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, ContextManager, Dict, FrozenSet, Iterator, List, Mapping, Optional, Sequence, Tuple

from os_update_agent.errors import Busy, CommandFailed, PackageError
from os_update_agent.model import Change, HeldBack, Identity, Package, PackageState, Selection, Slot, Transaction
from os_update_agent.node.lock import wait_until_free
from os_update_agent.node.run import Completed, run, run_to_file
from os_update_agent.packages import apt_parse
from os_update_agent.packages.apt_candidates import candidates
from os_update_agent.packages.apt_parse import Simulation
from os_update_agent.packages.apt_preferences import added_preferences
from os_update_agent.packages.progress import STATUS_FILE
from os_update_agent.packages.repack import repack
from os_update_agent.packages.selection import is_security

_ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBIAN_PRIORITY": "critical",
    "APT_LISTCHANGES_FRONTEND": "none",
    "APT_LISTBUGS_FRONTEND": "none",
    "NEEDRESTART_SUSPEND": "1",
    "NEEDRESTART_MODE": "l",
}
_CONFIG_FILES = {
    "keep": (("--force-confdef", "--force-confold"), {"UCF_FORCE_CONFFOLD": "1"}),
    "replace": (("--force-confnew",), {"UCF_FORCE_CONFFNEW": "1"}),
}
# A way back may need all of these; a way forward none.
_FORCED = ("--allow-downgrades", "--allow-change-held-packages", "--allow-remove-essential")
_LOCKED = "Could not get lock"
_NOT_REFRESHED = re.compile(r"^[EW]: (Failed to fetch|Some index files failed|GPG error|An error occurred during the signature)", re.M)
_NETWORK = ("-o", "Acquire::Retries=3", "-o", "Acquire::http::Timeout=30", "-o", "Acquire::https::Timeout=30")

_PRIVATE_ROOT = """\
Dir "{root}/";
Dir::State::status "{root}/var/lib/dpkg/status";
Dir::Bin::dpkg "/usr/bin/dpkg";
Dir::Log "{root}/var/log/apt";
Dir::Etc::trustedparts "{root}/etc/apt/trusted.gpg.d";
DPkg::Run-Directory "/";
DPkg::Chroot-Directory "/";
DPkg::Options {{ {dpkg_options} }};
APT::Sandbox::User "root";
Acquire::Languages "none";
"""


@dataclass
class Apt:
    """apt and dpkg on ``root``. ``archive`` is where package files are downloaded to, ``work`` holds generated settings.

    ``lock_timeout`` (seconds) bounds the waiting for each of the package manager's locks; then Busy names the holder.
    """

    root: Path
    archive: Path
    work: Path
    lock_timeout: float = 600.0
    config_files: str = "keep"
    name = "apt"
    repacks = True

    # --- reading

    def capture(self) -> PackageState:
        """The state of the package database. dpkg-query, not the status file: after a kill the truth is in dpkg's journal.

        Raises PackageError when the database cannot be read or is empty.
        """
        text = self._query("--show", "--showformat", apt_parse.STATE_FORMAT).stdout
        marks = self._in_root("var/lib/apt/extended_states")
        try:
            auto = apt_parse.parse_extended_states(marks.read_text(encoding="utf-8"))
        except FileNotFoundError:
            auto = frozenset()
        except OSError as error:
            raise PackageError(f"{marks} cannot be read: {error.strerror}") from error
        return apt_parse.parse_installed(text, auto, _native_architecture())

    def wait(self) -> None:
        """Wait until no apt or dpkg is at work, perhaps one that has lost its caller. Raises Busy that names the holder."""
        locks = [self._in_root("var/lib/dpkg/lock-frontend"), self._in_root("var/lib/dpkg/lock")]
        wait_until_free(locks, timeout=self.lock_timeout)

    def interrupted(self) -> bool:
        """Has a dpkg been ended before it could merge its journal?"""
        try:
            return any(entry.name.isdigit() for entry in self._in_root("var/lib/dpkg/updates").iterdir())
        except OSError:
            return False

    def refresh(self) -> None:
        """Fetch the package index anew; every repository has to answer. Raises PackageError, Busy."""
        done = self._patient(
            ["apt-get", "-q", *_NETWORK, "-o", "APT::Update::Error-Mode=any", "update"],
            locks=[self._in_root("var/lib/apt/lists/lock")],
        )
        complaint = _NOT_REFRESHED.search(done.stderr)
        if done.returncode or complaint:
            raise PackageError(f"the package index cannot be refreshed: {apt_parse.first_error(done.stderr or done.stdout)}")

    def simulate(self, *arguments: str, preferences: str = "") -> Simulation:
        """What apt-get would do. Needs no lock. Raises PackageError with apt's reason when it would do nothing at all."""
        with added_preferences(preferences, own=self._in_root("etc/apt/preferences"), work=self.work) as options:
            done = self._run(["apt-get", "-s", "-q", *options, *arguments], ok=None)
        if done.returncode:
            raise PackageError(apt_parse.why_impossible(done.stdout + done.stderr))
        return apt_parse.parse_simulation(done.stdout)

    def candidates(self, state: PackageState, selection: Selection) -> Tuple[Tuple[Change, ...], Tuple[HeldBack, ...]]:
        """The updates that the selection asks for and that can be done together, and what is held back with the reason."""
        return candidates(self.simulate, state, selection)

    def security_of(self, state: PackageState, changes: Sequence[Change]) -> FrozenSet[str]:
        """The names of those changes whose new version a security archive has."""
        return frozenset(change.name for change in changes if is_security(change))

    def effect(self, transaction: Transaction, *, forced: bool) -> FrozenSet[Tuple[Slot, Optional[str]]]:
        """What the transaction would come to: each package that changes with its new version, None for a removal."""
        return self.simulate(*self._install(transaction, forced=forced)).effect

    def available(self, packages: Sequence[Package]) -> Tuple[Mapping[Package, int], Tuple[Package, ...]]:
        """Which of the packages the repositories can give (with the size in bytes), and which they cannot. The index is not refreshed."""
        asked = list(packages)
        missing: List[Package] = []
        while asked:
            done = self._run(["apt-get", "-q", "-q", "download", "--print-uris", *map(_exact, asked)], ok=None)
            gone = apt_parse.parse_unavailable(done.stderr, asked)
            missing += gone
            sizes = apt_parse.parse_uris(done.stdout)
            found = {package: sizes[self.file_name(package)] for package in asked if self.file_name(package) in sizes}
            if not gone:
                if done.returncode or len(found) != len(asked):
                    raise PackageError(f"apt-get download: {apt_parse.first_error(done.stderr)}")
                return found, tuple(missing)
            # An unknown name makes apt print nothing for the others: ask again without it.
            asked = [package for package in asked if package not in gone]
        return {}, tuple(missing)

    def announced_sizes(self, packages: Sequence[Package]) -> Dict[Identity, int]:
        """What the index says that packages will take on the disk: KiB. What it does not know is left out."""
        if not packages:
            return {}
        return apt_parse.parse_installed_sizes(self._run(["apt-cache", "show", *map(_exact, packages)], ok=None).stdout)

    def installed_sizes(self, files: Sequence[Path]) -> Dict[Identity, int]:
        """What package files will take on the disk: (name, architecture, version) -> KiB."""
        if not files:
            return {}
        done = self._run(["apt-cache", "show", *map(str, files)])
        return apt_parse.parse_installed_sizes(done.stdout)

    def present_sizes(self) -> Dict[Identity, int]:
        """What the installed packages say that they take: (name, architecture, version) -> KiB."""
        fmt = "Package: ${Package}\\nArchitecture: ${Architecture}\\nVersion: ${Version}\\nInstalled-Size: ${Installed-Size}\\n\\n"
        return apt_parse.parse_installed_sizes(self._query("--show", "--showformat", fmt).stdout)

    def kernels(self, packages: Sequence[Package]) -> Tuple[Package, ...]:
        """Those of the packages that may put a kernel into /boot."""
        return tuple(package for package in packages if package.name.startswith("linux-image-"))

    def paths(self, packages: Sequence[Package]) -> FrozenSet[str]:
        """All files of installed packages."""
        if not packages:
            return frozenset()
        return frozenset(self._query("--listfiles", *map(_plain, packages)).stdout.splitlines())

    def asks_for_boot(self, since: float) -> Tuple[str, ...]:
        """Nothing that dpkg knows of: Debian's packages leave their wish below /run themselves."""
        return ()

    def boot_bytes(self, files: Sequence[Path]) -> int:
        """What the package files put below /boot, in bytes."""
        total = 0
        for file in files:
            for line in self._run(["dpkg-deb", "--contents", str(file)]).stdout.splitlines():
                # -rw-r--r-- root/root   8155072 2026-01-02 10:11 ./boot/vmlinuz-6.1.0-40-amd64
                fields = line.split(None, 5)
                if len(fields) == 6 and fields[5].startswith("./boot/") and fields[2].isdigit():
                    total += int(fields[2])
        return total

    def file_name(self, package: Package) -> str:
        """The name under which apt keeps a package file: an epoch's colon is escaped."""
        return f"{package.name}_{package.version.replace(':', '%3a')}_{package.arch}.deb"

    # --- changing

    def repack(self, package: Package) -> Path:
        """Rebuild the file of an installed package that no repository has any more, into the archive."""
        return repack(package, self.root, self.archive)

    def fetch(self, packages: Sequence[Package]) -> None:
        """Download the packages into the archive; apt checks each against the signed index. Raises PackageError."""
        if not packages:
            return
        with self._status() as status:
            options = ["-o", "APT::Sandbox::User=root", "-o", f"APT::Status-Fd={status.fileno()}"]
            argv = ["apt-get", "-q", *_NETWORK, *options, "download", *map(_exact, packages)]
            done = run(argv, ok=None, env=self._environment(), cwd=self.archive, pass_fds=[status.fileno()])
        if done.returncode:
            raise PackageError(f"packages cannot be fetched: {apt_parse.first_error(done.stderr)}")

    def unpack(self, files: Sequence[Path], output: IO[bytes]) -> None:
        """Unpack package files over half-installed packages. apt refuses to do anything before that, and --fix-broken does not do it."""
        if files:
            force = ("--force-depends", "--force-breaks", "--force-conflicts", "--force-downgrade")
            run_to_file(self._dpkg(*force, "--unpack", *map(str, files)), output, ok=None, env=self._environment())

    def repair(self, output: IO[bytes]) -> None:
        """Forward out of an interruption: configure what waits for it. What stays broken is for the caller to see in a capture."""
        self.wait()
        run_to_file(self._dpkg("--configure", "-a"), output, ok=None, env=self._environment())

    def settle(self, output: IO[bytes]) -> None:
        """Backward out of an interruption: merge dpkg's journal without running any maintainer script (dpkg(1), --set-selections)."""
        self.wait()
        run_to_file(self._dpkg("--set-selections"), output, env=self._environment())

    def transact(self, transaction: Transaction, output: IO[bytes], *, forced: bool) -> Tuple[str, ...]:
        """Run one transaction from package files. Returns what the package manager says went wrong; the database has the last word."""
        self.wait()
        complaints: Tuple[str, ...] = ()
        torn = [Path(file) for package, file in zip(transaction.install, transaction.files) if package in transaction.torn]
        self.unpack(torn, output)
        if transaction.install or transaction.remove:
            complaints = self._apt_get(self._install(transaction, forced=forced), output)
        if transaction.configures:
            run_to_file(self._dpkg("--configure", "-a"), output, ok=None, env=self._environment())
        return complaints

    def purge(self, packages: Sequence[Package], output: IO[bytes]) -> None:
        """Drop the left-over configuration of packages that are gone."""
        if packages:
            run_to_file(self._dpkg("--purge", *map(_plain, packages)), output, ok=None, env=self._environment())

    def mark(self, packages: Sequence[Package], mark: str) -> None:
        self._run(["apt-mark", "-q", "-q", mark, *map(_plain, packages)])

    def hold(self, packages: Sequence[Package]) -> None:
        """Set the selections of the packages as their rows have them."""
        lines = "".join(f"{_plain(package)} {package.want}\n" for package in packages)
        self.wait()
        run(self._dpkg("--set-selections"), stdin=lines, env=self._environment())

    def session(self) -> ContextManager[None]:
        """Nothing: no process of apt's outlives what it was asked for."""
        return nullcontext()

    # --- how the tools are called

    @contextmanager
    def _status(self) -> Iterator[IO[bytes]]:
        """Where apt tells how far it is, for whoever watches. A file: apt ends halfway when the reader of a pipe dies."""
        with open(self.work / STATUS_FILE, "w+b", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            yield file

    def _apt_get(self, arguments: Sequence[str], output: IO[bytes]) -> Tuple[str, ...]:
        with self._status() as status:
            argv = ["apt-get", "-q", "-y", "-o", f"APT::Status-Fd={status.fileno()}", *arguments]
            start = output.tell()
            done = run_to_file(argv, output, ok=None, env=self._environment(), pass_fds=[status.fileno()])
            status.seek(0)
            failures = apt_parse.parse_failures(status.read().decode("utf-8", "replace"))
        if not done.returncode:
            return ()
        said = _read_from(output, start)
        if _LOCKED in said:
            raise Busy(f"the package manager is locked: {apt_parse.first_error(said)}")
        return failures or (apt_parse.first_error(said),)

    def _install(self, transaction: Transaction, *, forced: bool) -> Tuple[str, ...]:
        options = [
            *("-o", f"DPkg::Lock::Timeout={max(1, int(self.lock_timeout))}", "-o", "Dpkg::Use-Pty=0"),
            *("-o", f"Dir::Cache::archives={self.archive}/", "-o", "APT::Sandbox::User=root"),
            "--no-install-recommends",
        ]
        for option in _CONFIG_FILES[self.config_files][0]:
            options += ["-o", f"Dpkg::Options::={option}"]
        if forced:
            options += _FORCED
        if transaction.reinstalls:
            options.append("--reinstall")
        if transaction.mends:
            # Without it apt refuses whatever is asked while an unpacked package waits for one that is not there yet.
            options.append("--fix-broken")
        return (*options, "install", *transaction.files, *(f"{_plain(package)}-" for package in transaction.remove))

    def _patient(self, argv: Sequence[str], *, locks: Sequence[Path]) -> Completed:
        """Run argv when nobody holds the locks; apt itself waits for dpkg's lock only, and fails at once for the others."""
        for _ in range(10):
            wait_until_free(locks, timeout=self.lock_timeout)
            done = self._run(argv, ok=None)
            if not (done.returncode and _LOCKED in done.stderr):
                return done
        raise Busy(apt_parse.first_error(done.stderr))

    def _run(self, argv: Sequence[str], *, ok: Optional[Sequence[int]] = (0,), cwd: Optional[Path] = None) -> Completed:
        return run(argv, ok=ok, env=self._environment(), cwd=cwd)

    def _query(self, *arguments: str) -> Completed:
        try:
            return run(["dpkg-query", f"--admindir={self._in_root('var/lib/dpkg')}", *arguments], env=_ENVIRONMENT)
        except CommandFailed as error:
            raise PackageError(f"the package database cannot be read: {error}") from error

    def _dpkg(self, *arguments: str) -> List[str]:
        options = [*self._root_options(), *_CONFIG_FILES[self.config_files][0]]
        return ["dpkg", *options, *arguments]

    def _environment(self) -> Mapping[str, str]:
        environment = {**_ENVIRONMENT, **_CONFIG_FILES[self.config_files][1]}
        if self._is_private:
            environment["APT_CONFIG"] = str(self._apt_config())
        return environment

    @property
    def _is_private(self) -> bool:
        return self.root != Path("/")

    def _in_root(self, path: str) -> Path:
        return self.root / path

    def _root_options(self) -> Tuple[str, ...]:
        if not self._is_private:
            return ()
        options = [f"--root={self.root}", f"--log={self._in_root('var/log/dpkg.log')}"]
        if os.geteuid() != 0:
            options += ["--force-not-root", "--force-bad-path"]
        if not self._in_root("bin/sh").exists():
            options += ["--force-script-chrootless", "--force-bad-path"]
        return tuple(dict.fromkeys(options))

    def _apt_config(self) -> Path:
        """Settings that keep apt inside a private root. They must be read before apt reads /etc/apt, so they are a file."""
        text = _PRIVATE_ROOT.format(root=self.root, dpkg_options=" ".join(f'"{option}";' for option in self._root_options()))
        path = self.work / "apt.conf"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        return path


@lru_cache(maxsize=1)
def _native_architecture() -> str:
    return run(["dpkg", "--print-architecture"]).stdout.strip()


def _plain(package: Package) -> str:
    """dpkg's and apt's spelling of an installed package; architecture "all" is never spelled."""
    return package.name if package.arch == "all" else f"{package.name}:{package.arch}"


def _exact(package: Package) -> str:
    return f"{_plain(package)}={package.version}"


def _read_from(output: IO[bytes], start: int) -> str:
    with open(output.name, "rb") as file:
        file.seek(start)
        return file.read().decode("utf-8", "replace")
