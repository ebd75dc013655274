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
    for path in (settings.source, settings.systemctl):
        if path is not None:
            check_trusted(path, is_trial=is_trial, link=True)
    for path in (settings.state, settings.archive, settings.etc, settings.log, settings.run, settings.work):
        check_trusted(path, is_trial=is_trial)


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
        is_parent: The path is the target of a link that stands for a parent.
        is_log: It stands for /var/log.
        links: The number of links that may still follow.
    """

    is_trial: bool
    link: bool
    is_parent: bool = False
    is_log: bool = False
    links: int = _LINKS_AT_MOST


def _check(path: Path, rule: _Rule) -> None:
    base = Path(path.anchor)
    for number, part in enumerate(("", *path.parts[1:])):
        place = base / part
        is_end = number == len(path.parts) - 1
        is_last = is_end and not rule.is_parent
        found = _look(place)
        if found is None:
            return
        _check_owner(place, found)
        if stat.S_ISLNK(found.st_mode):
            if is_last and not rule.link:
                raise Untrusted(
                    f"{printable(place)} is a link, and the agent follows none there: name the real directory in"
                    " [paths], or mount it there"
                )
            if not rule.links:
                raise Untrusted(f"{printable(place)} leads from link to link without an end")
            target = Path(os.path.normpath(base / os.readlink(place)))
            is_log = rule.is_log or place == _OF_A_DAEMON
            _check(target, _Rule(rule.is_trial, True, not is_last, is_log, rule.links - 1))
            base = target
        else:
            _check_mode(place, found, rule, is_last=is_last, is_log=place == _OF_A_DAEMON or (is_end and rule.is_log))
            base = place


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
