"""The operator's hand on a private root of rpm and dnf 4, or dnf 5, which lives in a root of Debian sid."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Dict, FrozenSet, List, Mapping, Sequence, Tuple

from os_update_agent.testing import rpm_repository
from os_update_agent.testing.rpm_repository import DATABASE, Advisory, Repository, Rpm, build, make_root
from packages import sid
from packages.hand import Hand
from packages.scene import Pkg

# Waits inside the root until somebody makes /run/go; at most two minutes. Lua's own loop: a scriptlet of rpm has no
# sleep of less than 1 s.
WAITS = """
local f = io.open("/run/waits", "w"); f:close()
for i = 1, 120 do
  local go = io.open("/run/go")
  if go then go:close(); break end
  posix.sleep(1)
end
"""


def as_rpm(pkg: Any) -> Rpm:
    if isinstance(pkg, Rpm):
        return pkg
    rpm = rpm_repository.as_rpm(pkg)
    return replace(rpm, scripts={"post": f"{WAITS}{rpm.scripts.get('post', '')}"}) if pkg.waits else rpm


@lru_cache(maxsize=1)
def _built() -> Path:
    """Where this process keeps what it has built: rpmbuild costs half a second, and the same Rpm becomes the same
    file.
    """
    return Path(tempfile.mkdtemp(prefix="built-rpms-"))


def build_once(rpms: Sequence[Rpm], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    wanted = {hashlib.sha256(repr(rpm).encode()).hexdigest(): rpm for rpm in rpms}
    missing = [name for name in wanted if not (_built() / name).exists()]
    with tempfile.TemporaryDirectory() as scratch:
        build([wanted[name] for name in missing], Path(scratch))
        for name in missing:
            (_built() / name).mkdir()
            shutil.move(str(Path(scratch) / wanted[name].file), str(_built() / name))
    for name in wanted:
        for path in (_built() / name).iterdir():
            shutil.copy2(path, directory)


class DnfHand(Hand):
    """dnf 4, which Debian has."""

    kind = "dnf4"
    backend = "dnf"
    suffix = "rpm"
    held = "locked by dnf's versionlock"
    index = "repodata"
    python = sys.executable
    program = "dnf"
    REFRESHED: Sequence[str] = ("--refresh",)
    _MARKS: ClassVar[Mapping[str, Sequence[str]]] = {"auto": ("mark", "remove"), "manual": ("mark", "install")}
    # How dnf calls a package that is there for others.
    _AUTO = "dependency"
    _NO_BEST = "--nobest"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.repository = Repository(directory / "repository")
        self._home = directory / "home"
        self._home.mkdir(exist_ok=True)
        # So that the operator's dnf finds the database where the agent's does.
        (self._home / ".rpmmacros").write_text(f"%_dbpath {DATABASE}\n", encoding="utf-8")

    @staticmethod
    def missing_tools() -> List[str]:
        return rpm_repository.missing_tools()

    # --- the repository

    def add(self, *pkgs: Any) -> None:
        build_once([as_rpm(pkg) for pkg in pkgs], self.repository.directory)

    def add_files(self, directory: Path) -> None:
        for path in directory.glob("*.rpm"):
            shutil.copy2(path, self.repository.directory)

    def build(self, pkgs: Sequence[Any], directory: Path) -> None:
        build_once([as_rpm(pkg) for pkg in pkgs], directory)

    def remove_from_repository(self, name: str, version: str) -> None:
        bare = version.partition(":")[2] or version
        (path,) = self.repository.directory.glob(f"{name}-{bare}.*.rpm")
        path.unlink()

    def publish(self, security: Sequence[Pkg] = ()) -> None:
        self.add(*security)
        self.repository.publish(*([Advisory("DEMO-1", "security", (as_rpm(security[0]),))] if security else []))
        if self._comps.exists():
            argv = ["modifyrepo_c", "--mdtype=group", str(self._comps), str(self.repository.directory / "repodata")]
            subprocess.run(argv, check=True, capture_output=True)

    def add_group(self, group: str, *names: str) -> None:
        """The repository has this group of packages; it shows after ``publish``."""
        members = "".join(f'<packagereq type="mandatory">{name}</packagereq>' for name in names)
        about = (
            f"<id>{group}</id><name>{group}</name><description/><default>true</default><uservisible>true</uservisible>"
        )
        text = f'<?xml version="1.0"?><comps><group>{about}<packagelist>{members}</packagelist></group></comps>'
        self._comps.write_text(text, encoding="utf-8")

    @property
    def _comps(self) -> Path:
        return self.directory / "comps.xml"

    def use(self, url: str = "", **options: str) -> None:
        self.use_sections(self.repository.section(url, **options))

    def use_sections(self, *sections: str) -> None:
        (self.root / "etc/yum.repos.d/demo.repo").write_text("\n".join(sections), encoding="utf-8")

    @staticmethod
    def kernel(version: str) -> Tuple[Pkg, ...]:
        return (
            Pkg(
                "kernel",
                version,
                provides=("installonlypkg(kernel)",),
                files={f"/boot/vmlinuz-{version}": version * 100},
            ),
        )

    # --- the node

    def make(self, *names: str) -> None:
        make_root(self.root, repositories=[self.repository.section()])
        self.install(*names)

    def install(self, *names: str) -> None:
        self.dnf(*self.REFRESHED, "install", *names)

    def start_installing(self, *names: str) -> "subprocess.Popen[bytes]":
        return self._start("install", *names)

    def start_upgrading(self) -> "subprocess.Popen[bytes]":
        """Everything that is not held."""
        return self._start("upgrade", "--setopt=installonly_limit=0", *(f"--exclude={name}" for name in self.locked()))

    def _start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        argv = self.dnf_argv(*self.REFRESHED, *arguments)
        nothing = subprocess.DEVNULL
        return subprocess.Popen(argv, env=self.environment(), stdin=nothing, stdout=nothing, stderr=nothing)

    def remove(self, *names: str) -> None:
        self.dnf("remove", "--noautoremove", *names)

    def mark(self, mark: str, *names: str) -> None:
        self.dnf(*self._MARKS[mark], *names)

    def hold(self, *names: str) -> None:
        versions = self.versions()
        self.lock({**self.locked(), **{name: versions[name] for name in names}})

    def unhold(self, *names: str) -> None:
        self.lock({name: version for name, version in self.locked().items() if name not in names})

    def locked(self) -> Dict[str, str]:
        path = self.directory / "locked"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}

    def lock(self, versions: Mapping[str, str]) -> None:
        (self.directory / "locked").write_text(json.dumps(versions), encoding="utf-8")
        self._write_locks(versions)

    def _write_locks(self, versions: Mapping[str, str]) -> None:
        path = self.root / "etc/dnf/plugins/versionlock.list"
        path.parent.mkdir(parents=True, exist_ok=True)
        rules = (f"{name}-{version if ':' in version else '0:' + version}.*\n" for name, version in versions.items())
        path.write_text("".join(rules), encoding="utf-8")

    def rows(self) -> List[Tuple[str, str]]:
        return [(name, version) for name, version, _ in self._rows()]

    def _rows(self) -> List[Tuple[str, str, str]]:
        done = self.rpm("-qa", "--queryformat", r"%{name} %|epoch?{%{epoch}:}|%{version}-%{release} %{sha256header}\n")
        assert not done.stderr, done.stderr
        rows = (line.split() for line in done.stdout.splitlines())
        return sorted((name, version, digest) for name, version, digest in rows if name != "gpg-pubkey")

    def auto(self) -> FrozenSet[str]:
        return frozenset(name for name, reason in self.reasons().items() if reason == self._AUTO)

    def reasons(self) -> Dict[str, str]:
        """Why each package is there, in dnf's own words."""
        lines = self.dnf("repoquery", "--installed", "--queryformat", r"%{name} %{reason}\n").splitlines()
        return {name: reason.lower() for name, reason in (line.split(maxsplit=1) for line in lines if " " in line)}

    def upgrade(self) -> None:
        """Everything, and what cannot be upgraded stays behind: as the agent lets dnf plan it."""
        self.dnf(*self.REFRESHED, "upgrade", self._NO_BEST)

    def state(self) -> Any:
        return self._rows(), self.auto()

    def faults(self) -> str:
        done = self.rpm("-Va", "--noconfig")
        rows = [(name, version) for name, version in self.rows() if name != "kernel"]
        twice = sorted({name for name, _ in rows if sum(name == other for other, _ in rows) > 1})
        return done.stdout + done.stderr + "".join(f"{name} is there twice\n" for name in twice)

    def history(self) -> str:
        return self.dnf("history", "info", "last")

    # --- how the tools are called

    def dnf(self, *arguments: str, ok: bool = True) -> str:
        """dnf as the operator calls it."""
        done = subprocess.run(
            self.dnf_argv(*arguments), env=self.environment(), text=True, capture_output=True, check=False
        )
        assert (done.returncode == 0) == ok, done.stdout + done.stderr
        return done.stdout + done.stderr

    def dnf_argv(self, *arguments: str) -> List[str]:
        own = ["-c", f"{self.root}/etc/dnf/dnf.conf", f"--installroot={self.root}", "--noplugins"]
        return [*self.wrapper, self.program, "-q", "-y", "--releasever=1", *own, *arguments]

    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "HOME": str(self._home), "LC_ALL": "C.UTF-8"}

    def rpm(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        argv = [*self.wrapper, "rpm", "--root", str(self.root), "--dbpath", DATABASE, *arguments]
        done = subprocess.run(argv, env=self.environment(), text=True, capture_output=True, check=False)
        # The first rpm after a kill tidies up behind it, if the database is one of Berkeley DB.
        done.stderr = re.sub(r"^warning: rpmdb: BDB2053 .*\n", "", done.stderr, flags=re.MULTILINE)
        return done


class Dnf5Hand(DnfHand):
    """dnf 5, in a root of Debian sid."""

    kind = backend = "dnf5"
    python = "/usr/bin/python3"
    program = "dnf5"
    # --refresh is not enough for a repository on the disk.
    REFRESHED = ("--setopt=metadata_expire=0",)
    _MARKS: ClassVar[Mapping[str, Sequence[str]]] = {"auto": ("mark", "dependency"), "manual": ("mark", "user")}
    _NO_BEST = "--no-best"

    @property
    def wrapper(self) -> Tuple[str, ...]:
        return sid.enter()

    def dnf_argv(self, *arguments: str) -> List[str]:
        return [
            *self.wrapper,
            self.program,
            "-q",
            "-y",
            "--releasever=1",
            f"--installroot={self.root}",
            "--no-plugins",
            *arguments,
        ]

    def _write_locks(self, versions: Mapping[str, str]) -> None:
        rules = "".join(_RULE.format(name=name, version=version) for name, version in versions.items())
        (self.root / "etc/dnf/versionlock.toml").write_text(f'version = "1.0"\n{rules}', encoding="utf-8")


_RULE = """
[[packages]]
name = "{name}"
[[packages.conditions]]
key = "evr"
comparator = "="
value = "{version}"
"""
