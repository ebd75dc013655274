"""The operator's hand on a private root of apt and dpkg."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, FrozenSet, List, Sequence, Tuple

from os_update_agent.testing import repository
from os_update_agent.testing.repository import Deb, Repository, make_root
from packages.aptroot import AptRoot, State
from packages.hand import Hand
from packages.scene import Pkg

WAITS = (
    'touch "$DPKG_ROOT/run/waits"; i=0; while [ ! -e "$DPKG_ROOT/run/go" ] && [ $i -lt 1200 ]; do sleep 0.1;'
    " i=$((i+1)); done"
)


def as_deb(pkg: Any) -> Deb:
    if isinstance(pkg, Deb):
        return pkg
    deb = repository.as_deb(pkg)
    return replace(deb, scripts={"postinst": f"{WAITS}\n{deb.scripts.get('postinst', '')}"}) if pkg.waits else deb


class AptHand(Hand):
    kind = backend = "apt"
    suffix = "deb"
    held = "on hold"
    index = "Packages"
    python = sys.executable

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.repository = Repository(directory / "repository")
        self.apt = AptRoot(self.root)

    @staticmethod
    def missing_tools() -> List[str]:
        return repository.missing_tools()

    def add(self, *pkgs: Any) -> None:
        self.repository.add(*map(as_deb, pkgs))

    def add_files(self, directory: Path) -> None:
        for path in directory.glob("*.deb"):
            shutil.copy2(path, self.repository.directory)

    def build(self, pkgs: Sequence[Any], directory: Path) -> None:
        Repository(directory).add(*map(as_deb, pkgs))

    def remove_from_repository(self, name: str, version: str) -> None:
        self.repository.remove(name, version)

    def publish(self, security: Sequence[Pkg] = ()) -> None:
        """A Debian archive calls itself a security archive: those packages are offered by a second one."""
        self.repository.publish()
        if security:
            archive = Repository(self.directory / "security", suite="demo-security")
            archive.add(*map(as_deb, security))
            archive.publish()
            self.use_sources(self.repository.source_line(), archive.source_line())

    def use(self, url: str = "", **options: str) -> None:
        self.use_sources(self.repository.source_line(url or None))

    def use_sources(self, *lines: str) -> None:
        (self.root / "etc/apt/sources.list").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    @staticmethod
    def kernel(version: str) -> Tuple[Pkg, ...]:
        name = f"linux-image-{version}"
        image = Pkg(name, version, files={f"/boot/vmlinuz-{version}": version * 100})
        return image, Pkg("linux-image", version, requires=(name,))

    def make(self, *names: str) -> None:
        make_root(self.root, sources=[self.repository.source_line()])
        # The agent lets apt try four times; in a test the pauses between them would only cost time.
        (self.root / "etc/apt/apt.conf.d/50-no-pauses").write_text(
            'Acquire::Retries::Delay "false";\n', encoding="utf-8"
        )
        self.install(*names)

    def install(self, *names: str) -> None:
        self.apt.apt("update")
        self.apt.apt("install", *names)

    def start_installing(self, *names: str) -> "subprocess.Popen[bytes]":
        self.apt.apt("update")
        environment = {**os.environ, "APT_CONFIG": str(self.apt.configuration), "DEBIAN_FRONTEND": "noninteractive"}
        argv = ["apt-get", "-q", "-y", "install", *names]
        return subprocess.Popen(
            argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def remove(self, *names: str) -> None:
        self.apt.apt("purge", *names)

    def mark(self, mark: str, *names: str) -> None:
        self.apt._run("apt-mark", mark, *names).check_returncode()

    def hold(self, *names: str) -> None:
        self.apt.hold(*names)

    def unhold(self, *names: str) -> None:
        self.apt._run("apt-mark", "unhold", *names).check_returncode()

    def rows(self) -> List[Tuple[str, str]]:
        return list(self.versions().items())

    def versions(self) -> Dict[str, str]:
        return self.apt.versions()

    def auto(self) -> FrozenSet[str]:
        return frozenset(name.partition(":")[0] for name in self.apt.auto())

    def state(self) -> State:
        return self.apt.state()

    def faults(self) -> str:
        root, log = f"--root={self.root}", f"--log={self.root}/var/log/dpkg.log"
        said = "".join(
            self.apt._run("dpkg", root, log, "--force-not-root", option).stdout for option in ("--audit", "--verify")
        )
        # "??5?????? c /etc/app.conf": configuration may differ.
        return "\n".join(line for line in said.splitlines() if " c /" not in line)

    def history(self) -> str:
        return (self.root / "var/log/apt/history.log").read_text(encoding="utf-8").rpartition("Start-Date")[2]
