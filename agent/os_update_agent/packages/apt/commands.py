"""How apt-get, dpkg and dpkg-query are called: the environment, the options of a private root, and what an exit status
means.
"""

import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import IO, Iterator, List, Mapping, Optional, Sequence, Tuple

from os_update_agent.model.errors import Busy, CommandFailed, PackageError
from os_update_agent.model.options import ConfigFiles
from os_update_agent.model.packages import Package, Transaction
from os_update_agent.node.locks import wait_until_free
from os_update_agent.node.process import DIRECTORY, Completed, run, run_to_file
from os_update_agent.packages.apt import parse
from os_update_agent.packages.apt.builds import InstalledBuilds
from os_update_agent.packages.apt.dpkg_settings import INSTALL_MISSING
from os_update_agent.packages.apt.options import (
    ACTS,
    AS_PLANNED,
    CONFIG_FILES,
    FILES_ALONE,
    FORCED,
    NETWORK,
    ORDER,
    OWN_SOLVER,
)
from os_update_agent.packages.printed import printed_since
from os_update_agent.packages.progress import REFRESH_FILE, STATUS_FILE
from os_update_agent.packages.state_cache import LastState

LOCKED = "Could not get lock"
# The solvers that apt has itself (apt.conf(5), APT::Solver).
_SOLVERS = ("internal", "3.0")
# apt's words for a setting that is on (apt-pkg's StringToBool).
_TRUE = ("1", "true", "yes", "on", "with", "enable")

_ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBIAN_PRIORITY": "critical",
    "APT_LISTCHANGES_FRONTEND": "none",
    "APT_LISTBUGS_FRONTEND": "none",
    "NEEDRESTART_SUSPEND": "1",
    "NEEDRESTART_MODE": "l",
}
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
class AptCalls:
    """The tools on ``root``. ``archive`` is where package files are downloaded to, ``work`` holds generated settings.

    ``lock_timeout`` (seconds) bounds the waiting for each of the package manager's locks; then Busy names the holder.
    """

    root: Path
    archive: Path
    work: Path
    lock_timeout: float = 600.0
    config_files: ConfigFiles = "keep"
    _last: LastState = field(default_factory=LastState, init=False, repr=False)
    # Within letting_go(): its packages, and the file for APT_CONFIG that leaves out their settings ("": no such file).
    _leaving: Tuple[Package, ...] = field(default=(), init=False, repr=False)
    _has_settings_aside: bool = field(default=False, init=False, repr=False)
    _other_settings: str = field(default="", init=False, repr=False)

    @cached_property
    def _builds(self) -> InstalledBuilds:
        return InstalledBuilds(self._in_root("var/lib/dpkg"))

    @contextmanager
    def _status(self, name: str = STATUS_FILE) -> Iterator[IO[bytes]]:
        """Where apt tells how far it is, for whoever watches. A file: apt ends halfway when the reader of a pipe dies.

        Each time another one: who is at work besides us, or was left by a run that was killed, writes on into his own.
        It goes when apt has ended: what comes next is another story.
        """
        descriptor, new = tempfile.mkstemp(dir=self.work)
        path = self.work / name
        with open(descriptor, "w+b") as file:
            os.replace(new, path)
            try:
                yield file
            finally:
                path.unlink(missing_ok=True)

    def _apt_get(self, arguments: Sequence[str], output: IO[bytes]) -> Tuple[str, ...]:
        with self._status() as status:
            argv = self._apt("apt-get", "-q", "-y", *ACTS, "-o", f"APT::Status-Fd={status.fileno()}", *arguments)
            start = output.tell()
            done = run_to_file(argv, output, ok=None, env=self._environment(), pass_fds=[status.fileno()])
            failures = parse.parse_failures(_all_of(status))
        if not done.returncode:
            return ()
        said = read_from(output, start)
        if LOCKED in said:
            raise Busy(f"the package manager is locked: {parse.first_error(said)}")
        return failures or (parse.first_error(said),)

    def _install(self, transaction: Transaction, *, forced: bool) -> Tuple[str, ...]:
        options = [
            *("-o", f"DPkg::Lock::Timeout={max(1, int(self.lock_timeout))}", "-o", "Dpkg::Use-Pty=0"),
            *("-o", f"Dir::Cache::archives={self._no_cache()}/", "-o", "APT::Sandbox::User=root"),
            *FILES_ALONE,
            *AS_PLANNED,
            "--no-install-recommends",
        ]
        for option in CONFIG_FILES[self.config_files][0]:
            options += ["-o", f"Dpkg::Options::={option}"]
        if self._setting("APT::Solver") not in ("", *_SOLVERS):
            options += OWN_SOLVER
        if forced:
            options += (*FORCED, *ORDER)
        if forced and transaction.remove:
            # apt 2.2 allows the removal of a protected package and lets dpkg refuse it.
            options += [f"-oDpkg::Options::={option}" for option in self._protection()]
        if self._has_settings_aside:
            options += ["-o", f"Dpkg::Options::={INSTALL_MISSING}"]
        if transaction.reinstalls:
            options.append("--reinstall")
        if transaction.mends or forced:
            # apt refuses every request while a package lacks another one: an unpacked package that waits for one, or,
            # on a way back that was cut off, one whose library has been removed and not yet replaced.
            options.append("--fix-broken")
        return (*options, "install", *transaction.files, *(f"{plain(package)}-" for package in transaction.remove))

    def _protection(self) -> Tuple[str, ...]:
        """Return dpkg's option for the removal of protected packages, which dpkg has since 1.20.1."""
        known = self._run(["dpkg", "--force-help"], ok=None).stdout
        return ("--force-remove-protected",) if " remove-protected " in known else ()

    def _no_cache(self) -> Path:
        """Return an empty directory in place of apt's cache of package files. In a cache apt removes a file that has
        the name of an installed package and another size: another build.
        """
        directory = self.work / "archives"
        (directory / "partial").mkdir(parents=True, exist_ok=True)
        # apt would make it readable for a group.
        (directory / "lock").touch(mode=0o600)
        return directory

    def _downloading(self, *arguments: str, name: str = STATUS_FILE, cwd: Path = DIRECTORY) -> Completed:
        """Run apt-get, with what it prints going where its status goes, which only counts the files and does not name
        them.
        """
        with self._status(name) as status:
            options = (*NETWORK, *ACTS, "-o", f"APT::Status-Fd={status.fileno()}")
            argv = self._apt("apt-get", "-q", *options, *arguments)
            done = run_to_file(
                argv, status, ok=None, env=self._environment(), cwd=cwd, pass_fds=[status.fileno()], endable=True
            )
            return done._replace(stdout=_all_of(status))

    def _patient(self, *arguments: str, locks: Sequence[Path]) -> Completed:
        """The same when nobody holds the locks; apt itself waits for dpkg's lock only, and fails at once for the
        others.
        """
        for _ in range(10):
            wait_until_free(locks, timeout=self.lock_timeout)
            done = self._downloading(*arguments, name=REFRESH_FILE)
            if not (done.returncode and LOCKED in done.stdout):
                return done
        raise Busy(parse.first_error(done.stdout))

    def _apt(self, program: str, *arguments: str) -> List[str]:
        """The argument list for one of apt's programs."""
        return [program, *self._architectures, *arguments]

    @cached_property
    def _architectures(self) -> Tuple[str, ...]:
        """What tells a program of apt the architectures (apt.conf(5)): by itself each one asks dpkg for them, two to
        four times.
        """
        names = ",".join(
            value for tag, value in self._settings_of_apt if tag.startswith("APT::Architectures") and value
        )
        return ("-o", f"APT::Architectures={names}") if names else ()

    @property
    def _downloads_only(self) -> bool:
        return self._setting("APT::Get::Download-Only").lower() in _TRUE

    def _setting(self, name: str) -> str:
        """Return one of the settings of apt, "" if it has no value."""
        return next((value for tag, value in reversed(self._settings_of_apt) if tag == name), "")

    @cached_property
    def _settings_of_apt(self) -> Tuple[Tuple[str, str], ...]:
        """Some settings of apt with their values; none if it cannot be asked."""
        # apt-get puts its own settings over the others (apt.conf(5)).
        own = "Binary::apt-get::"
        names = ("APT::Architectures", "APT::Get::Download-Only", "APT::Solver")
        wanted = (*names, *(f"{own}{name}" for name in names))
        done = self._run(["apt-config", "--format", "%f %v%n", "dump", *wanted], ok=None)
        lines = () if done.returncode else (line.partition(" ") for line in done.stdout.splitlines())
        return tuple((tag[len(own) :] if tag.startswith(own) else tag, value) for tag, _, value in lines)

    def _run(self, argv: Sequence[str], *, ok: Optional[Sequence[int]] = (0,), cwd: Path = DIRECTORY) -> Completed:
        return run(argv, ok=ok, env=self._environment(), cwd=cwd)

    def _query(self, *arguments: str) -> Completed:
        try:
            return run(["dpkg-query", f"--admindir={self._in_root('var/lib/dpkg')}", *arguments], env=_ENVIRONMENT)
        except CommandFailed as error:
            raise PackageError(f"the package database cannot be read: {error}") from error

    def _dpkg(self, *arguments: str) -> List[str]:
        options = [*self._root_options(), *CONFIG_FILES[self.config_files][0]]
        if self._has_settings_aside:
            options.append(INSTALL_MISSING)
        return ["dpkg", *options, *arguments]

    def _environment(self) -> Mapping[str, str]:
        environment = {**_ENVIRONMENT, **CONFIG_FILES[self.config_files][1]}
        if self._is_private:
            environment["APT_CONFIG"] = str(self._apt_config())
        if self._other_settings:
            environment["APT_CONFIG"] = self._other_settings
        return environment

    @property
    def _is_private(self) -> bool:
        return self.root != Path("/")

    def _in_root(self, path: str) -> Path:
        return self.root / path

    @property
    def _locks(self) -> Tuple[Path, ...]:
        return self._in_root("var/lib/dpkg/lock-frontend"), self._in_root("var/lib/dpkg/lock")

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
        """Settings that keep apt inside a private root. They must be read before apt reads /etc/apt, so they are a
        file.
        """
        text = _PRIVATE_ROOT.format(
            root=self.root, dpkg_options=" ".join(f'"{option}";' for option in self._root_options())
        )
        return self._generated("apt.conf", text)

    def _generated(self, name: str, text: str) -> Path:
        """Return a file of generated settings with this text."""
        path = self.work / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        return path


@lru_cache(maxsize=1)
def native_architecture() -> str:
    return run(["dpkg", "--print-architecture"]).stdout.strip()


def plain(package: Package) -> str:
    """dpkg's and apt's spelling of an installed package; architecture "all" is never spelled."""
    return package.name if package.arch == "all" else f"{package.name}:{package.arch}"


def exact(package: Package) -> str:
    return f"{plain(package)}={package.version}"


def _all_of(file: IO[bytes]) -> str:
    """What a file holds that others have written, too."""
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def read_from(output: IO[bytes], start: int) -> str:
    return printed_since(output.name, start)
