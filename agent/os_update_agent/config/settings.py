"""The node's configuration file: which root, which backend, where things lie, and the defaults of the options."""

import configparser
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Dict, Mapping, Optional, cast, get_args

from os_update_agent.config.bounded_files import read_text, words_of
from os_update_agent.model.errors import BadOption
from os_update_agent.model.options import BackendName, NodeKind

DEFAULT_FILE = Path("/etc/os-update-agent/agent.conf")
ENVIRONMENT = "OS_UPDATE_AGENT_CONFIG"

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Characters of a complaint that quotes the file.
_SHOWN = 300
_KNOWN = {
    "node": ("root", "backend", "kind", "systemctl"),
    "paths": ("state", "log", "run", "steps", "collect_config", "metrics"),
    "signal": ("ca_certificate",),
}


@dataclass(frozen=True)
class Settings:
    """What agent.conf says. All paths are absolute; ``source`` is the file itself, None where there is none."""

    root: Path = Path("/")
    backend: BackendName = "auto"
    kind: NodeKind = "auto"
    systemctl: Optional[Path] = None
    state: Path = Path("/var/lib/os-update-agent")
    log: Path = Path("/var/log/os-update-agent")
    run: Path = Path("/run/os-update-agent")
    steps: Path = Path("/etc/os-update-agent")
    collect_config: Path = Path("/etc/os-collect-config.conf")
    metrics: Optional[Path] = None
    ca_certificate: Optional[str] = None
    defaults: Mapping[str, str] = field(default_factory=dict)
    source: Optional[Path] = None

    @property
    def services(self) -> Optional[str]:
        """The program that reaches the services of root; None where there is none: those of this machine are not those
        of another root.
        """
        if self.systemctl is not None:
            return str(self.systemctl)
        return "systemctl" if self.root == Path("/") else None

    @property
    def is_trial(self) -> bool:
        """Does the agent work in a private root, not on this machine's own packages?"""
        return self.root != Path("/")

    @property
    def ledger(self) -> Path:
        return self.state / "ledger.sqlite"

    @property
    def archive(self) -> Path:
        return self.state / "archive"

    @property
    def etc(self) -> Path:
        """The directory of the kept contents of files below /etc."""
        return self.state / "etc"

    @property
    def lock(self) -> Path:
        return self.run / "lock"

    @property
    def worker_lock(self) -> Path:
        return self.run / "worker.lock"

    @property
    def outbox_lock(self) -> Path:
        return self.run / "outbox.lock"

    @property
    def claims(self) -> Path:
        """The file of the claims: who sends a result, who starts a worker."""
        return self.run / "claims.lock"

    @property
    def work(self) -> Path:
        """Where a backend keeps what it needs while it is at work."""
        return self.run / "work"

    @property
    def worker_log(self) -> Path:
        return self.log / "worker.log"


def load(path: Optional[str] = None) -> Settings:
    """Read the file that ``path``, else OS_UPDATE_AGENT_CONFIG, else the default names.

    A missing default file means the built-in settings; a file that was named must be there. Raises BadOption.
    """
    if path is not None and not str(path).strip():
        # A variable of a script that is empty, say: it must not mean this node in place of a trial root.
        raise BadOption(
            f"the configuration file is {path!r}; it must be a path, and without --config it is {DEFAULT_FILE}"
        )
    named = path or os.environ.get(ENVIRONMENT)
    # The file that is checked later is the one that is read: "link/.." does not lead to the parent of the target.
    try:
        file = Path(os.path.abspath(named)) if named else DEFAULT_FILE
    except OSError as error:
        raise BadOption(f"the configuration file {named!r} is relative to a directory that is gone") from error
    try:
        text = read_text(file)
    except FileNotFoundError:
        if named:
            raise BadOption(f"the configuration file {file} is not there") from None
        return Settings()
    except (OSError, ValueError) as error:
        raise BadOption(f"the configuration file {file} cannot be read: {words_of(error)}") from error
    return replace(parse(text, str(file)), source=file)


def parse(text: str, source: str) -> Settings:
    """The settings of a file's text. Raises BadOption that names the section, the key and the value."""
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(text, source)
    except configparser.Error as error:
        raise BadOption(f"{source} is not an INI file: {' '.join(str(error)[:_SHOWN].split())}") from error
    values: Dict[str, str] = {}
    for section in parser.sections():
        if section == "defaults":
            continue
        if section not in _KNOWN:
            raise BadOption(
                f"{source}: unknown section [{section}]; there are [node], [paths], [signal] and [defaults]"
            )
        for key, value in parser.items(section):
            if key not in _KNOWN[section]:
                import difflib  # late: only a mistake needs it

                near = difflib.get_close_matches(key, _KNOWN[section], 1)
                hint = f"; do you mean {near[0]!r}?" if near else f"; there are {', '.join(_KNOWN[section])}"
                raise BadOption(f"{source}: unknown key {key!r} in [{section}]{hint}")
            values[key] = value.strip()
    defaults = dict(parser.items("defaults")) if parser.has_section("defaults") else {}
    return _checked(values, defaults, source)


def _checked(values: Mapping[str, str], defaults: Mapping[str, str], source: str) -> Settings:
    backend = values.get("backend") or "auto"
    if backend not in get_args(BackendName):
        raise BadOption(f"{source}: backend is {backend!r}; it must be one of {', '.join(get_args(BackendName))}")
    kind = values.get("kind") or "auto"
    if kind not in get_args(NodeKind):
        raise BadOption(f"{source}: kind is {kind!r}; it must be one of {', '.join(get_args(NodeKind))}")
    paths = {}
    for key in ("root", "systemctl", *_KNOWN["paths"]):
        if values.get(key):
            # POSIX keeps two slashes at the beginning: "//" would be a private root.
            paths[key] = Path(re.sub("^//", "/", os.path.normpath(values[key])))
            if not paths[key].is_absolute() or '"' in values[key] or _CONTROL.search(values[key]):
                raise BadOption(
                    f"{source}: {key} is {values[key]!r}; it must be an absolute path without quotes and control"
                    " characters"
                )
    metrics = paths.get("metrics")
    if metrics is not None and metrics.suffix != ".prom":
        raise BadOption(
            f"{source}: metrics is {str(metrics)!r}; its name must end in .prom, for node-exporter reads no other file"
        )
    return Settings(
        backend=cast(BackendName, backend),
        kind=cast(NodeKind, kind),
        ca_certificate=values.get("ca_certificate") or None,
        defaults=defaults,
        **paths,
    )
