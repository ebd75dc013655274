"""Makes a node one that heat-config can update: os-update-agent install-hook, by hand or in the install step of the
element.

Nothing of an operator's is overwritten: a file where a link of ours belongs is an error that names it, agent.conf is
never touched, and what is configuration is left once it was edited.
"""

import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Mapping, Sequence, Tuple

from os_update_agent.install import place
from os_update_agent.install.layout import HOOK, Directory, File, Item, Places, is_unit, layout
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
# What means something else in a unit file or a shell script.
_SPECIAL = set(" \t\n\"'\\$%`;&|<>()*?[]#~")
# Where os-refresh-config and os-apply-config looked before 2014; they still do where there is nothing at the new place.
OLD_REFRESH, OLD_TEMPLATES = "/opt/stack/os-config-refresh", "/opt/stack/os-apply-config/templates"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """A root, and what belongs into it."""

    root: Path
    items: Tuple[Item, ...]

    @property
    def units(self) -> Tuple[str, ...]:
        return tuple(Path(item.path).name for item in self.items if isinstance(item, File) and is_unit(item.path))

    def has(self, unit: str) -> bool:
        """Is the unit there?"""
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
    return Target(root, layout(places, _programs(root), files()))


def install(target: Target, say: Say, *, dry_run: bool = False) -> None:
    """Put everything at its place, switch the services on, and say what was done. Raises AgentError before anything is
    changed when something foreign is in the way."""
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
            place.put(target.root, item)
        say(f"{'made' if standing == place.MISSING else 'renewed'}: {item.path}")
    _switch(target, "enable", say, dry_run)


def remove(target: Target, say: Say, *, dry_run: bool = False) -> None:
    """Take everything of ours away but what belongs to the operator or to the node's history. Raises AgentError."""
    _switch(target, "disable", say, dry_run)
    for item in reversed(target.items):
        standing = place.standing(target.root, item)
        shared = isinstance(item, Directory) or (isinstance(item, File) and item.others_win)
        if standing == place.MISSING:
            continue
        if standing in (place.OTHER, place.EDITED) or shared:
            say(f"left: {item.path}")
            continue
        if not dry_run:
            place.take(target.root, item)
        say(f"removed: {item.path}")


def files() -> Mapping[str, str]:
    """The files that come with the package, by their names."""
    paths = [SAMPLE, *sorted(FILES.iterdir()), *sorted(UNITS.iterdir())]
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def _switch(target: Target, verb: str, say: Say, dry_run: bool) -> None:
    """Have systemd start the units at boot, or no longer."""
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
            # A service is for the next boot; a timer counts from now on.
            run(
                [
                    "systemctl",
                    "start" if verb == "enable" else "stop",
                    *(unit for unit in units if unit.endswith(".timer")),
                ]
            )
    say(f"{verb}d: {names}")


def _usual(root: Path, new: str, old: str) -> str:
    """Where the chain looks on this node: at the new place unless only the old one is there."""
    is_old = (root / old.lstrip("/")).is_dir() and not (root / new.lstrip("/")).is_dir()
    return old if is_old else new


def _programs(root: Path) -> str:
    """The directory of our own programs, as a node with this root sees it. Raises UsageError when they are not
    there.
    """
    own = Path(sys.executable).absolute().parent
    inside = Path("/", own.relative_to(root)) if own.is_relative_to(root) else own
    if not (root / str(inside).lstrip("/") / HOOK).exists():
        raise UsageError(
            f"there is no {inside / HOOK} in {root}: install the agent with pip into a virtual environment there, "
            "and run the os-update-agent of that environment"
        )
    if _SPECIAL & set(str(inside)):
        raise UsageError(
            f"the agent lies in {str(inside)!r}: systemd and shells would misread that path; install it at a"
            " plainer one"
        )
    return str(inside)
