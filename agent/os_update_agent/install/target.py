"""Installs and removes the agent's places on a node, by hand or in the element's install step.

The operator's files are never overwritten: a foreign file in a place of the agent is an error that names it, agent.conf
is never touched, and an edited configuration file stays.
"""

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Mapping, Sequence, Tuple

from os_update_agent.install import code, place
from os_update_agent.install.layout import Directory, File, Item, Link, Places, Tree, is_unit, layout
from os_update_agent.install.requirements import check_library
from os_update_agent.model.errors import AgentError, UsageError
from os_update_agent.node.process import run
from os_update_agent.node.transient_unit import SYSTEMD

FILES = Path(__file__).parent / "files"
UNITS = Path(__file__).parent / "units"
SAMPLE = Path(__file__).parents[1] / "config/agent.conf.sample"
# Generated from the command line's parser.
MANUAL = FILES / "os-update-agent.8"
COMPLETION = FILES / "completion.bash"
HOST = Path("/")
# The directories of os-refresh-config and os-apply-config before 2014. They still use them if the new ones are missing.
OLD_REFRESH, OLD_TEMPLATES = "/opt/stack/os-config-refresh", "/opt/stack/os-apply-config/templates"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """A root, the items that belong into it, and the optional libraries that the agent lacks."""

    root: Path
    items: Tuple[Item, ...]
    missing: Tuple[str, ...] = ()

    @property
    def units(self) -> Tuple[str, ...]:
        return tuple(Path(item.path).name for item in self.items if isinstance(item, File) and is_unit(item.path))

    def has(self, unit: str) -> bool:
        """Say whether the unit is installed."""
        return any(
            place.standing(self.root, item) != place.MISSING for item in self.items if item.path.endswith(f"/{unit}")
        )


def target(root: Path, *, hooks: str = "", refresh: str = "", templates: str = "") -> Target:
    """Return the target that the command line names; '' stands for the usual directory. Raises UsageError."""
    if not root.is_absolute() or not root.is_dir():
        raise UsageError(f"--root is {str(root)!r}; it must be the absolute path of a directory")
    root = root.resolve()
    for option, value in (("--hooks-dir", hooks), ("--refresh-dir", refresh), ("--templates-dir", templates)):
        if value and (not value.startswith("/") or ".." in value.split("/") or value.strip("/") == ""):
            raise UsageError(f"{option} is {value!r}; it must be an absolute path inside the root")
    places = Places()
    places = replace(
        places,
        hooks=hooks.rstrip("/") or places.hooks,
        refresh=refresh.rstrip("/") or _usual(root, places.refresh, OLD_REFRESH),
        templates=templates.rstrip("/") or _usual(root, places.templates, OLD_TEMPLATES),
    )
    tree, missing = code.code(root)
    return Target(root, layout(places, tree, files()), missing)


def install(target: Target, say: Say, *, dry_run: bool = False) -> None:
    """Install all items, enable the services, and report each step. Raises AgentError for a foreign file, before any
    change, for a missing library of apt, and for code that does not run, before anything uses it.
    """
    check_library(target.root)
    before = code.present(target.root)
    found = [(item, place.standing(target.root, item)) for item in target.items]
    foreign = [item.path for item, standing in found if standing == place.OTHER and place.is_foreign(target.root, item)]
    if foreign:
        raise AgentError(
            f"{', '.join(foreign)}: something else is there already; move it away and run the command again"
        )
    for item, standing in found:
        if standing == place.RIGHT:
            say(f"as it should be: {item.path}")
            continue
        if standing == place.EDITED:
            say(f"left, it was edited: {item.path}")
            continue
        if not dry_run:
            _put(target, item)
        say(f"{'made' if standing == place.MISSING else 'renewed'}: {item.path}")
        if isinstance(item, Tree):
            say(f"for Python 3.{code.oldest_minor(item)} and later, whichever the distribution has")
    name = Path(target.items[0].path).name
    # A run may still be using the code that this one has replaced.
    for old in code.others(target.root, before, name) if before != name else ():
        if not dry_run:
            place.take(target.root, old)
        say(f"removed: {old.path}")
    _switch(target, "enable", say, dry_run)
    if target.missing:
        say(
            f"without {', '.join(target.missing)}: results over HEAT_SIGNAL and ZAQAR_SIGNAL cannot be sent; install it"
            " beside the agent and run the command again"
        )


def _put(target: Target, item: Item) -> None:
    place.put(target.root, item)
    if isinstance(item, Tree):
        try:
            code.try_out(target.root, item, target.missing)
        except AgentError:
            place.take(target.root, item)
            raise
        if target.root == HOST:
            # One call for hundreds of files: after a power cut the link must not lead to empty ones.
            os.sync()


def remove(target: Target, say: Say, *, dry_run: bool = False) -> None:
    """Remove all items except the operator's files and the node's history. Raises AgentError."""
    _switch(target, "disable", say, dry_run)
    for item in reversed(target.items):
        standing = place.standing(target.root, item)
        shared = isinstance(item, Directory) or (isinstance(item, File) and item.others_win)
        if standing == place.MISSING or isinstance(item, Tree):
            continue
        if isinstance(item, Link) and item.family and not place.is_foreign(target.root, item):
            standing = place.RIGHT
        if standing in (place.OTHER, place.EDITED) or shared:
            say(f"left: {item.path}")
            continue
        if not dry_run:
            place.take(target.root, item)
        say(f"removed: {item.path}")
    for tree in code.others(target.root):
        if not dry_run:
            place.take(target.root, tree)
        say(f"removed: {tree.path}")


def files() -> Mapping[str, str]:
    """Return the contents of the shipped files by their names."""
    paths = [SAMPLE, *sorted(FILES.iterdir()), *sorted(UNITS.iterdir())]
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def _switch(target: Target, verb: str, say: Say, dry_run: bool) -> None:
    """Enable or disable the units."""
    units = target.units if verb == "enable" else tuple(filter(target.has, target.units))
    if not units:
        return
    names = " ".join(units)
    if not shutil.which("systemctl"):
        say(f"not {verb}d, there is no systemctl here: {names}")
        return
    if not dry_run:
        where: Sequence[str] = () if target.root == HOST else (f"--root={target.root}",)
        run(["systemctl", *where, "--quiet", verb, *units])
        if target.root == HOST and SYSTEMD.is_dir():
            run(["systemctl", "daemon-reload"])
            # Services start at the next boot; timers start now.
            run(
                [
                    "systemctl",
                    "start" if verb == "enable" else "stop",
                    *(unit for unit in units if unit.endswith(".timer")),
                ]
            )
    say(f"{verb}d: {names}")


def _usual(root: Path, new: str, old: str) -> str:
    """Return the directory in use on this node: the new one unless only the old one exists."""
    is_old = (root / old.lstrip("/")).is_dir() and not (root / new.lstrip("/")).is_dir()
    return old if is_old else new
