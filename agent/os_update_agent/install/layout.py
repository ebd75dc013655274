"""The agent's places on a node: the hook, its directories, and files for the services around it. Pure.

All paths are absolute in the node's own root; place.py adds the directory in which that root is mounted.
"""

import hashlib
from dataclasses import dataclass
from typing import Mapping, Tuple, Union

HOOK = "package-update"
COMMAND = "os-update-agent"
RENDER = "os-update-agent-render"
RESUME = "10-os-update-agent-resume"
HOME = "/usr/libexec/os-update-agent"
# Below HOME: a directory for each version of the agent's code, and the link to the one that runs.
CODE, CURRENT = "code", "current"
PROGRAMS = f"{HOME}/{CURRENT}/bin"


@dataclass(frozen=True)
class Directory:
    """A directory of the agent. It stays when the agent is removed: it holds the operator's files or the history."""

    path: str
    mode: int = 0o755


@dataclass(frozen=True)
class File:
    """A file with its content. ``others_win``: an existing file stays, whatever it holds. ``is_config``: a file that
    the operator has edited stays; its text must be ``sealed``.
    """

    path: str
    text: str
    mode: int = 0o644
    others_win: bool = False
    is_config: bool = False


@dataclass(frozen=True)
class Link:
    """A symbolic link to a program of the agent. A link whose target begins with ``family`` is the agent's, too."""

    path: str
    target: str
    family: str = ""


@dataclass(frozen=True)
class Tree:
    """A directory that holds these files and no other ones, except for Python's caches."""

    path: str
    files: Mapping[str, bytes]

    def mode(self, name: str) -> int:
        return 0o755 if name.startswith("bin/") else 0o644


# The first line of a file that the operator may edit; the digest of the rest follows.
_SEAL = (
    "# Written by os-update-agent install-hook, which renews it while it is unchanged and leaves it when it was"
    " edited: "
)


def sealed(text: str) -> str:
    """Return the text below a line with its digest, which shows later whether the file was edited."""
    return f"{_SEAL}{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def is_edited(content: bytes) -> bool:
    """Say whether this differs from every text that a version of the agent has ``sealed``."""
    first, _, rest = content.partition(b"\n")
    return first != f"{_SEAL}{hashlib.sha256(rest).hexdigest()}".encode()


Item = Union[Directory, File, Link, Tree]


@dataclass(frozen=True)
class Places:
    """The directories in which heat-config, os-refresh-config and os-apply-config look for files."""

    hooks: str = "/usr/libexec/heat-config/hooks"
    refresh: str = "/usr/libexec/os-refresh-config"
    templates: str = "/usr/libexec/os-apply-config/templates"
    units: str = "/etc/systemd/system"


def layout(places: Places, code: Tree, texts: Mapping[str, str]) -> Tuple[Item, ...]:
    """Return all items in the order of installation. The hook is last: from then on deployments arrive.

    ``texts`` maps the names of the shipped files to their contents.
    """
    filled = {name: text.replace("@PROGRAMS@", PROGRAMS) for name, text in texts.items()}
    units = tuple(_config(f"{places.units}/{name}", text) for name, text in sorted(filled.items()) if is_unit(name))
    return (
        code,
        Link(f"{HOME}/{CURRENT}", code.path[len(f"{HOME}/") :], family=f"{CODE}/"),
        Directory("/etc/os-update-agent"),
        File("/etc/os-update-agent/agent.conf.sample", texts["agent.conf.sample"]),
        *(Directory(f"/etc/os-update-agent/{steps}.d") for steps in ("pre-update", "post-update", "health")),
        Directory("/var/lib/os-update-agent", 0o700),
        Directory("/var/log/os-update-agent", 0o700),
        Link(f"/usr/local/bin/{COMMAND}", f"{PROGRAMS}/{COMMAND}"),
        File("/usr/local/share/man/man8/os-update-agent.8", texts["os-update-agent.8"]),
        File("/usr/local/share/bash-completion/completions/os-update-agent", texts["completion.bash"]),
        _config("/etc/logrotate.d/os-update-agent", filled["logrotate"]),
        _config("/etc/tmpfiles.d/os-update-agent.conf", filled["tmpfiles.conf"]),
        File(f"{HOME}/heat-config-notify", filled["heat-config-notify"], 0o755),
        *units,
        *_refresh(places, filled),
        *_templates(places, filled),
        Link(f"{places.hooks}/{HOOK}", f"{PROGRAMS}/{HOOK}"),
    )


def _config(path: str, text: str) -> File:
    return File(path, sealed(text), is_config=True)


def is_unit(name: str) -> bool:
    return name.endswith((".service", ".timer", ".path"))


def _refresh(places: Places, filled: Mapping[str, str]) -> Tuple[Item, ...]:
    return (
        File(f"{places.refresh}/environment.d/50-os-update-agent.bash", filled["environment.bash"]),
        File(f"{places.refresh}/pre-configure.d/{RESUME}", filled[RESUME], 0o755),
    )


def _templates(places: Places, filled: Mapping[str, str]) -> Tuple[Item, ...]:
    ours, chain = (
        f"{places.templates}/etc/os-update-agent/agent.conf",
        f"{places.templates}/var/run/heat-config/heat-config",
    )
    return (
        # The modes first: a template without its mode is rendered readable by all.
        File(f"{ours}.oac", filled["agent.conf.oac"]),
        File(ours, filled["agent.conf"], 0o755),
        File(f"{chain}.oac", filled["private.oac"], others_win=True),
        File(f"{places.templates}/etc/os-collect-config.conf.oac", filled["private.oac"], others_win=True),
    )
