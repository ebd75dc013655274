"""What has to be done about the settings outside of packages on a way back, and whether it has been done. Pure."""

import re
from typing import Collection, FrozenSet, Iterable, Iterator, List, Optional, Sequence, Tuple

from os_update_agent.model.settings import (
    ALTERNATIVE,
    DIVERSION,
    NOBODY,
    OVERRIDE,
    Alternative,
    Choice,
    Kind,
    Setting,
    SettingChange,
    Settings,
    differing,
)

# The arguments of one call of a tool.
Call = Tuple[str, ...]
Place = Tuple[Kind, str]

# 10   @gcc@20 postfix   (the first is dpkg's; chkconfig adds the family and the service)
_PRIORITY = re.compile(r"(?:@(?P<family>[^@]+)@)?(?P<number>-?\d+)(?:\s+(?P<service>\S.*))?")

# The directories that a merged /usr has twice.
_MERGED = ("/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/", "/libx32/", "/libo32/")


def settings_overlaid(now: Settings, recorded: Settings, touched: FrozenSet[Place]) -> Settings:
    """Return the present settings with only the touched ones put back to what was recorded."""
    if now is None or recorded is None:
        return None
    stay = [setting for setting in now if setting[:2] not in touched]
    return tuple(sorted([*stay, *(setting for setting in recorded if setting[:2] in touched)]))


def touched_settings(before: Settings, after: Settings) -> FrozenSet[Place]:
    """Return the kind and name of each setting that differs."""
    return frozenset((change.kind, change.name) for change in differing(before, after))


def unmet_settings(now: Settings, target: Settings, dead: Collection[str] = ()) -> Tuple[SettingChange, ...]:
    """Return the settings that are not as in the target.

    ``dead`` are the targets of alternatives, as in targets_of(), that do not exist. No tool can install them, and dpkg
    drops them by itself, so what it leaves then is right, too.
    """
    changes = (_reachable(change, dead) for change in differing(now, target))
    return tuple(change for change in changes if change.before != change.after)


def targets_of(changes: Iterable[SettingChange]) -> FrozenSet[str]:
    """Return the targets that the alternatives have after the changes."""
    found = (_alternative(change.after) for change in changes)
    return frozenset(choice.path for one in found if one is not None for choice in one.choices)


def _alternative(setting: Optional[Setting]) -> Optional[Alternative]:
    if setting is None or setting.kind != ALTERNATIVE:
        return None
    try:
        return Alternative.of(setting.value)
    except ValueError:
        return None


def _reachable(change: SettingChange, dead: Collection[str]) -> SettingChange:
    """Return the change without the dead targets, and with any target where the link was missing."""
    found, wanted = _alternative(change.before), _alternative(change.after)
    if change.after is None or wanted is None:
        return change
    alive = tuple(choice for choice in wanted.choices if choice.path not in dead)
    if not alive:
        return change._replace(after=None)
    left = wanted._replace(choices=alive)
    if wanted.selected in dead:
        left = left._replace(mode="auto", selected=max(alive, key=_priority).path)
    elif not wanted.selected and found is not None:
        left = left._replace(mode=found.mode, selected=found.selected)
    return change._replace(after=change.after._replace(value=left.in_order.value))


def _paths(alternative: Alternative) -> FrozenSet[str]:
    return frozenset(choice.path for choice in alternative.choices)


def _priority(choice: Choice) -> int:
    match = _PRIORITY.fullmatch(choice.priority)
    return int(match["number"]) if match else 0


def due_before(changes: Sequence[SettingChange]) -> Tuple[SettingChange, ...]:
    """Return the changes that come before the transaction: dpkg unpacks each file with the owner and mode of its
    override, and to the place of its diversion.

    A diversion is removed afterwards. Until then the transaction may have a file of its package in the diverted place.
    """
    return tuple(
        change
        for change in changes
        if change.kind == OVERRIDE or (change.kind == DIVERSION and change.after is not None)
    )


def without_override(changes: Iterable[SettingChange]) -> Tuple[str, ...]:
    """Return the paths that lose their override."""
    return tuple(change.name for change in changes if change.kind == OVERRIDE and change.after is None)


def spellings(path: str) -> Tuple[str, ...]:
    """Return the path as packages may list it: with a merged /usr a file of /bin is in /usr/bin, too."""
    if path.startswith("/usr/"):
        bare = path[len("/usr") :]
        return (path, bare) if bare.startswith(_MERGED) else (path,)
    return (path, f"/usr{path}") if path.startswith(_MERGED) else (path,)


def divert_call(setting: Setting, action: str, *, renames: bool) -> Call:
    """Return the arguments for dpkg-divert. ``action`` is "--add" or "--remove"."""
    place, by = setting.value
    owner = ("--local",) if by == NOBODY else ("--package", by)
    return (*owner, "--rename" if renames else "--no-rename", "--divert", place, action, setting.name)


def override_calls(change: SettingChange) -> Tuple[Call, ...]:
    """Return the arguments of the calls of dpkg-statoverride."""
    removed: List[Call] = [("--remove", change.name)] if change.before is not None else []
    added: List[Call] = [("--update", "--add", *change.after.value, change.name)] if change.after is not None else []
    return (*removed, *added)


def alternative_calls(changes: Iterable[SettingChange]) -> Tuple[Call, ...]:
    """Return the arguments of the calls of update-alternatives, or of chkconfig's alternatives.

    First all removals: a slave link belongs to one alternative only. An alternative that could not be read is left
    alone.
    """
    pairs = [
        (change.name, _alternative(change.before), _alternative(change.after))
        for change in changes
        if change.kind == ALTERNATIVE
        and all(setting is None or _alternative(setting) is not None for setting in (change.before, change.after))
    ]
    removals = [call for name, old, new in pairs if old is not None for call in _removals(name, old, new)]
    additions = [call for name, old, new in pairs if new is not None for call in _additions(name, old, new)]
    return (*removals, *additions)


def _removals(name: str, old: Alternative, new: Optional[Alternative]) -> Iterator[Call]:
    stay = _paths(new) if new is not None and not _has_other_links(old, new) else frozenset()
    for choice in old.choices:
        if choice.path not in stay:
            yield "--remove", name, choice.path


def _additions(name: str, old: Optional[Alternative], new: Alternative) -> Iterator[Call]:
    there = () if old is None or _has_other_links(old, new) else tuple(_installations(name, old))
    yield from (call for call in _installations(name, new) if call not in there)
    if new.mode == "auto":
        yield "--auto", name
    elif new.selected:
        yield "--set", name, new.selected


def _installations(name: str, alternative: Alternative) -> Iterator[Call]:
    """Yield the call that installs each target with its slaves."""
    for choice in alternative.choices:
        match = _PRIORITY.fullmatch(choice.priority)
        more: List[str] = []
        for group, option in (("family", "--family"), ("service", "--initscript")):
            if match and match[group]:
                more += [option, match[group]]
        for (slave, link), path in zip(alternative.slaves, choice.slaves):
            if path:
                more += ["--slave", link, slave, path]
        number = match["number"] if match else choice.priority
        yield ("--install", alternative.link, name, choice.path, number, *more)


def _has_other_links(old: Alternative, new: Alternative) -> bool:
    """Has a link another path? chkconfig cannot change it in place."""
    known = dict(old.slaves)
    return old.link != new.link or any(known.get(name, link) != link for name, link in new.slaves)


def read_alternative(name: str, text: str, selected: str) -> Setting:
    """Return the setting of an alternative's file. dpkg and chkconfig write the same lines: the mode, the link, two for
    each slave, an empty one, and for each target its path, its priority and a line for each slave.
    """
    mode, _, rest = text.partition("\n")
    link, _, rest = rest.partition("\n")
    lines = rest.split("\n")
    try:
        end = lines.index("")
        width = 2 + end // 2
        choices: List[str] = []
        start = end + 1
        while start < len(lines) and lines[start]:
            choices += lines[start : start + width]
            start += width
        found = Alternative.of((mode, selected, link, *lines[: end + 1], *choices)).in_order
        if not found.choices:
            raise ValueError("an alternative without a target")
    except ValueError:
        # Nothing can put it back, and a difference shows.
        return Setting(ALTERNATIVE, name, ("?", selected, *text.split("\n")))
    return Setting(ALTERNATIVE, name, _as_its_tool_sees_it(found).value)


def _as_its_tool_sees_it(found: Alternative) -> Alternative:
    """Return the alternative in mode "manual" if its link was changed by hand: both tools take it for manual then."""
    best = max(map(_priority, found.choices), default=0)
    chosen = [_priority(choice) for choice in found.choices if choice.path == found.selected]
    if found.mode == "auto" and found.selected and chosen != [best]:
        return found._replace(mode="manual")
    return found


def read_diversions(text: str) -> List[Setting]:
    """Return the diversions in dpkg's file, which has three lines for each."""
    lines = text.split("\n")
    groups = zip(lines[0::3], lines[1::3], lines[2::3])
    return [Setting(DIVERSION, path, (place, by)) for path, place, by in groups]


def read_overrides(text: str) -> List[Setting]:
    """Return the overrides in dpkg's file: "root ssl-cert 710 /etc/ssl/private"."""
    rows = (line.split(" ", 3) for line in text.split("\n"))
    return [Setting(OVERRIDE, row[3], tuple(row[:3])) for row in rows if len(row) == 4]
