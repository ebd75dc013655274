"""The tests' own hand on a private root: apt and dpkg as an operator would call them, without a line of the agent."""

import os
import subprocess
from pathlib import Path
from typing import Dict, FrozenSet, List, Tuple

from os_update_agent.testing.repository import native_architecture

CONFIGURATION = """\
Dir "{root}/";
Dir::State::status "{root}/var/lib/dpkg/status";
Dir::Bin::dpkg "dpkg";
Dir::Log "{root}/var/log/apt";
Dir::Etc::trustedparts "{root}/etc/apt/trusted.gpg.d";
DPkg::Options {{
    "--root={root}"; "--force-not-root"; "--force-script-chrootless"; "--force-bad-path";
    "--log={root}/var/log/dpkg.log";
}};
DPkg::Run-Directory "/";
DPkg::Use-Pty "false";
DPkg::Chroot-Directory "/";
APT::Architecture "{architecture}";
APT::Architectures "{architecture}";
APT::Sandbox::User "";
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "0";
Acquire::http::Timeout "2";
"""
FORMAT = "${Package}:${Architecture} ${Version} ${db:Status-Want} ${db:Status-Eflag} ${db:Status-Status}\\n"

State = Tuple[FrozenSet[str], FrozenSet[str]]


class AptRoot:
    """A private root made by ``make_root``, with an apt.conf beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.configuration = root.with_name(f"{root.name}.apt.conf")
        self.configuration.write_text(
            CONFIGURATION.format(root=root, architecture=native_architecture()), encoding="utf-8"
        )

    def apt(self, *arguments: str, ok: bool = True) -> str:
        """What apt-get says. Fails the test unless it ends well, or badly where ``ok`` is false."""
        done = self._run("apt-get", "-q", "-y", *arguments)
        said = done.stdout + done.stderr
        assert (done.returncode == 0) == ok, f"apt-get {arguments} ended with {done.returncode}:\n{said}"
        return said

    def dpkg(self, *arguments: str) -> None:
        forces = ("--force-not-root", "--force-script-chrootless", "--force-bad-path")
        self._run("dpkg", f"--root={self.root}", *forces, "--log=/dev/null", *arguments).check_returncode()

    def hold(self, *names: str) -> None:
        self._run("apt-mark", "hold", *names).check_returncode()

    def versions(self) -> Dict[str, str]:
        """The version of each installed package."""
        rows = [row.split() for row in self.rows()]
        return {name.partition(":")[0]: version for name, version, _, _, status in rows if status == "installed"}

    def rows(self) -> List[str]:
        done = self._run("dpkg-query", f"--admindir={self.root}/var/lib/dpkg", "--show", "--showformat", FORMAT)
        done.check_returncode()
        return done.stdout.splitlines()

    def auto(self) -> FrozenSet[str]:
        """name:architecture of the packages that are there only because others need them."""
        path = self.root / "var/lib/apt/extended_states"
        stanzas = path.read_text(encoding="utf-8").split("\n\n") if path.exists() else []
        fields = [dict(line.split(": ", 1) for line in stanza.splitlines()) for stanza in stanzas if stanza.strip()]
        return frozenset(
            f"{one['Package']}:{one['Architecture']}" for one in fields if one.get("Auto-Installed") == "1"
        )

    def state(self) -> State:
        """All that has to come back in a restore: versions, statuses, holds (in the rows) and auto marks."""
        return frozenset(self.rows()), self.auto()

    def _run(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        environment.update(APT_CONFIG=str(self.configuration), DEBIAN_FRONTEND="noninteractive", LC_ALL="C.UTF-8")
        return subprocess.run(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
