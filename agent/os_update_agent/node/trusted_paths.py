"""The check that no other user could have written a path that the agent is about to use as root.

A path is trusted if root or the agent's own user owns each part of it and nobody else may write to one, because whoever
may write to a directory can replace what lies in it. The last part must not be a link. Links further up are followed
and their targets are checked in the same way: /var/run is one on every node.

Two directories are writable for others and trusted all the same. A sticky one such as /tmp protects a file of ours
from other users, but they can make a file before we do; so it will do only for a trial in a private root, never for the
node itself. /var/log belongs to the group of the log daemon on Ubuntu (mode 0775, group syslog).
"""

import os
import stat
from pathlib import Path
from typing import NamedTuple, Optional

from os_update_agent.config.settings import Settings
from os_update_agent.model.errors import AgentError
from os_update_agent.text.printable import printable

_LINKS_AT_MOST = 40
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_OF_A_DAEMON = Path("/var/log")


class Untrusted(AgentError):
    """Another user owns a path or may write to it: the text names the path, its owner and its mode."""

    advice = "correct the path that is named above, then try again"


def check_paths(settings: Settings) -> None:
    """Check that nobody else can write what the agent obeys, starts or keeps. Raises Untrusted.

    A step of the operator is checked before it runs.
    """
    is_trial = settings.is_trial
    if is_trial and _is_root(settings.root):
        raise Untrusted(f"root in [node] is {printable(settings.root)}, which is / by another name: write root = /")
    for path in (settings.source, settings.systemctl):
        if path is not None:
            check_trusted(path, is_trial=is_trial, link=True)
    for path in (settings.state, settings.archive, settings.etc, settings.log, settings.run, settings.work):
        check_trusted(path, is_trial=is_trial)


def _is_root(path: Path) -> bool:
    """Say whether a path is that of this machine's root, such as /proc/1/root. A trial in it would not be one.

    Raises Untrusted if that cannot be found out.
    """
    try:
        return os.path.samefile(path, "/")
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise Untrusted(f"root in [node], {printable(path)}, cannot be checked: {error}") from error


def check_trusted(path: Path, *, is_trial: bool = False, link: bool = False) -> None:
    """Raise Untrusted unless only root, or this process's own user, can write to the path or replace it.

    Of a path that does not exist, those parents that do exist are checked. ``is_trial``: the agent works in a private
    root, so a parent may be a sticky directory. ``link``: the path itself may be a link.
    """
    _check(Path(os.path.abspath(path)), _Rule(is_trial, link))


class _Rule(NamedTuple):
    """The rule for one path.

    Attributes:
        is_trial: A parent may be a sticky directory.
        link: The path itself may be a link.
    """

    is_trial: bool
    link: bool


def _check(path: Path, rule: _Rule) -> None:
    """Walk the path as the kernel does: ".." in a link leads to the parent of where the link has led so far."""
    place, left, links = Path(path.anchor), [*path.parts[1:]], 0
    # The number of parts that are left where the target of the link /var/log ends; -1: there is no such link.
    end_of_log = -1
    _check_part(place, rule, is_last=not left)
    while left:
        part = left.pop(0)
        if part == "..":
            place = place.parent
            continue
        place, parent = place / part, place
        if place == _OF_A_DAEMON:
            end_of_log = len(left)
        target = _check_part(place, rule, is_last=not left, is_log=len(left) == end_of_log)
        if target is None:
            return
        if target:
            links += 1
            if links > _LINKS_AT_MOST:
                raise Untrusted(f"{printable(place)} leads from link to link without an end")
            place = Path("/") if target.startswith("/") else parent
            left[:0] = [name for name in target.split("/") if name not in ("", ".")]


def _check_part(place: Path, rule: _Rule, *, is_last: bool, is_log: bool = False) -> Optional[str]:
    """Check one part of a path. Returns the target of a link, "" for anything else, None if there is nothing.

    Raises Untrusted.
    """
    found = _look(place)
    if found is None:
        return None
    _check_owner(place, found)
    if not stat.S_ISLNK(found.st_mode):
        _check_mode(place, found, rule, is_last=is_last, is_log=is_log)
        return ""
    if is_last and not rule.link:
        raise Untrusted(
            f"{printable(place)} is a link, and the agent follows none there: name the real directory in [paths], or"
            " mount it there"
        )
    return os.readlink(place)


def _look(path: Path) -> Optional[os.stat_result]:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise Untrusted(f"{printable(path)} cannot be checked: {error}") from error


def _check_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise Untrusted(
            f"{printable(path)} belongs to user {found.st_uid} (mode {_octal(found)}), who could change it:"
            f" it must belong to {_owner()}"
        )


def _check_mode(path: Path, found: os.stat_result, rule: _Rule, *, is_last: bool, is_log: bool) -> None:
    writable = found.st_mode & _WRITABLE
    if not writable or _is_of_own_group(found) or (not is_last and _is_protected(found, rule, is_log=is_log)):
        return
    others, right = ("everybody", "o-w") if writable & stat.S_IWOTH else ("its group", "g-w")
    advice = f"only {_owner()} may write to it (chmod {right})"
    if found.st_mode & stat.S_ISVTX:
        advice = f"choose a directory that only {_owner()} can write, such as one below /root"
    raise Untrusted(
        f"{printable(path)} (owner {found.st_uid}, group {found.st_gid}, mode {_octal(found)}) can be written by"
        f" {others}: {advice}"
    )


def _is_of_own_group(found: os.stat_result) -> bool:
    """A user's own group has no other member, as a rule, and some systems let it write everywhere (umask 002)."""
    return not found.st_mode & stat.S_IWOTH and os.geteuid() != 0 and found.st_gid == os.getegid()


def _is_protected(found: os.stat_result, rule: _Rule, *, is_log: bool) -> bool:
    """Is a writable parent one of those that are trusted all the same?"""
    return bool(found.st_mode & stat.S_ISVTX and rule.is_trial) or (is_log and not found.st_mode & stat.S_IWOTH)


def _owner() -> str:
    return "root" if os.geteuid() == 0 else f"root or user {os.geteuid()}"


def _octal(found: os.stat_result) -> str:
    return f"{stat.S_IMODE(found.st_mode):04o}"
