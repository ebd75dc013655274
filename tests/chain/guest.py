"""The guest side of one server in a directory: the real chain from os-collect-config to heat-config-notify, with our
hook at its end.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from chain import install

AGENT_CONF = """\
[node]
root = {root}
backend = apt
[paths]
state = {node}/state
log = {node}/log
run = {node}/run/os-update-agent
steps = {node}/steps
collect_config = {node}/etc/os-collect-config.conf
"""

# The hook of this checkout, run by the interpreter of the tests: nothing has to be installed.
HOOK = """\
#!{python}
import os
os.environ["PYTHONPATH"] = {agent!r}
os.execv({python!r}, [{python!r}, {hook!r}])
"""

# heat-agents' own templates for os-apply-config, and where they are rendered to below the guest's directory.
TEMPLATES = (
    ("var/run/heat-config/heat-config", "run/heat-config/heat-config"),
    ("etc/os-collect-config.conf", "etc/os-collect-config.conf"),
)


def installed_tools() -> Path:
    """Where the chain is installed. Fails the test, with the command that installs it, when it is not."""
    target = install.directory()
    assert install.is_installed(target), f"the chain is not installed in {target}; run: {install.COMMAND}"
    return target


class Guest:
    """``root`` is the private root that the agent works on; ``collectors`` are os-collect-config's, in their order."""

    def __init__(self, directory: Path, root: Path, collectors: Sequence[str]) -> None:
        self.directory = directory.absolute()
        self.root = root
        self.collectors = tuple(collectors)
        self.tools = installed_tools()
        self.command = f"os-refresh-config --lockfile {shlex.quote(str(self.directory / 'orc.lock'))}"
        self.collect_conf = self.directory / "etc/os-collect-config.conf"
        self.conf = self.directory / "etc/agent.conf"
        self.log = self.directory / "chain.log"
        self._install_chain()
        self._install_hook()

    def credentials(self) -> str:
        """The sections of os-collect-config.conf that say where the metadata are."""
        raise NotImplementedError

    def poll(self, *, force: bool = False) -> str:
        """Run os-collect-config once, and with it all that follows; what they logged. ``force`` runs it for old
        metadata too.
        """
        start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            # Not a pipe: whatever the hook leaves behind would hold it open.
            done = subprocess.run(
                self.collect_argv(force=force),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=300,
            )
        said = self.log.read_bytes()[start:].decode("utf-8", "replace")
        assert done.returncode == 0, f"os-collect-config ended with {done.returncode}:\n{said}"
        return said

    def collect_argv(self, *, force: bool = False) -> List[str]:
        argv = ["os-collect-config", "--config-file", str(self.collect_conf), "--cachedir", f"{self.directory}/cache"]
        return [
            *argv,
            "--backup-cachedir",
            f"{self.directory}/backup",
            "--one-time",
            *(["--force"] if force else []),
            *self.collectors,
        ]

    def forget(self, deployment: Mapping[str, Any]) -> None:
        """Remove heat-config's marker: it takes the deployment for a new one then."""
        (self.directory / f"deployed/{deployment['id']}.json").unlink()

    def own_files(self) -> List[Path]:
        """The files that the agent, and not the chain around it, has written."""
        places = (self.directory / "state", self.directory / "log", self.directory / "run/os-update-agent")
        return sorted(path for place in places for path in place.rglob("*") if path.is_file())

    def environment(self) -> Dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return {
            **inherited,
            "PATH": f"{self.directory}/bin:{self.tools}/bin:{os.environ['PATH']}",
            "HEAT_CONFIG_HOOKS": f"{self.directory}/hooks",
            "HEAT_SHELL_CONFIG": f"{self.directory}/run/heat-config/heat-config",
            "HEAT_CONFIG_DEPLOYED": f"{self.directory}/deployed",
            "HEAT_CONFIG_DEPLOYED_OLD": f"{self.directory}/deployed",
            "HEAT_CONFIG_NOTIFY": f"{self.directory}/bin/heat-config-notify",
            "OS_CONFIG_APPLIER_TEMPLATES": f"{self.directory}/templates",
            "OS_CONFIG_FILES_PATH": f"{self.directory}/cache/os_config_files.json",
            "OS_REFRESH_CONFIG_BASE_DIR": f"{self.directory}/orc",
            "OS_UPDATE_AGENT_CONFIG": str(self.conf),
        }

    def _install_chain(self) -> None:
        source = install.scripts(self.tools)
        python = f"#!{self.tools}/bin/python3\n"
        for name in ("20-os-apply-config", "55-heat-config"):
            text = (source / "os-refresh-config/configure.d" / name).read_text(encoding="utf-8")
            write(self.directory / "orc/configure.d" / name, _with_interpreter(text, python), 0o755)
        notify = (source / "bin/heat-config-notify").read_text(encoding="utf-8")
        write(self.directory / "bin/heat-config-notify", _with_interpreter(notify, python), 0o755)
        # os-apply-config renders templates/<path> to /<path>: so the path of this directory is part of the template's.
        templates = self.directory / "templates" / self.directory.relative_to("/")
        for name, place in TEMPLATES:
            text = (source / "os-apply-config" / name).read_text(encoding="utf-8")
            # An image's build would do the same: the command is this directory's, also where the metadata say nothing
            # of it.
            write(templates / place, text.replace("command = os-refresh-config\n", f"command = {self.command}\n"))
        write(self.collect_conf, f"[DEFAULT]\ncommand = {self.command}\n{self.credentials()}")

    def _install_hook(self) -> None:
        checkout = install.CHECKOUT
        hook = HOOK.format(
            python=sys.executable, agent=str(checkout / "agent"), hook=str(checkout / "hooks/package-update")
        )
        write(self.directory / "hooks/package-update", hook, 0o755)
        write(self.conf, AGENT_CONF.format(root=self.root, node=self.directory))


def write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _with_interpreter(text: str, line: str) -> str:
    """The script with the chain's own Python in its first line, where it is a Python script."""
    first, _, rest = text.partition("\n")
    return line + rest if "python" in first else text
