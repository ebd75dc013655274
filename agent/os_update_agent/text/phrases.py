"""Packages and changes as words in a sentence. Pure."""

from collections import Counter
from typing import AbstractSet, List, Optional, Sequence, Tuple

from os_update_agent.model.packages import Change, Package, Slot
from os_update_agent.model.settings import (
    ALTERNATIVE,
    DIVERSION,
    MODULE,
    NOBODY,
    OVERRIDE,
    Setting,
    SettingChange,
)

NAMED_AT_MOST = 10


def named(names: Sequence[str]) -> str:
    """A list for a sentence, cut where it gets too long to be read."""
    shown: List[str] = list(names[:NAMED_AT_MOST])
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def repaired(present: Sequence[Package], removed: Sequence[Package]) -> str:
    """The packages that a repair has changed, for a sentence; those that it has removed are called so."""
    gone = f"removed: {named(_told_apart(removed))}" if removed else ""
    return "; ".join(filter(None, (named(_told_apart(present)), gone)))


def _told_apart(packages: Sequence[Package]) -> List[str]:
    """Return the names, each with its architecture if it is there in several."""
    arches = Counter(name for name, _ in {(package.name, package.arch) for package in packages})
    return list(dict.fromkeys(f"{p.name}:{p.arch}" if arches[p.name] > 1 else p.name for p in packages))


def in_brackets(names: Sequence[str]) -> str:
    """The names in brackets behind a word; nothing if there are none."""
    return f" ({named(names)})" if names else ""


def not_there(globs: Sequence[str]) -> str:
    return f"no installed package matches {named([repr(glob) for glob in globs])} (packages)"


def listed(changes: Sequence[Change]) -> List[str]:
    """Return a line for each change. Two changes of one name are told apart by their architecture."""
    names = Counter(change.name for change in changes)
    return [_line(change, f":{change.package.arch}" if names[change.name] > 1 else "") for change in changes]


def _line(change: Change, arch: str) -> str:
    mark = " [security]" if change.is_security else ""
    if change.before is None:
        return f"{change.name}{arch}: {change.package.version} (new){mark}"
    after = change.after.version if change.after else "removed"
    if after == change.before.version:
        after = "another build of this version"
    return f"{change.name}{arch}: {change.before.version} -> {after}{mark}"


def amount(count: int) -> str:
    """Bytes for a person, in the units that apt and dnf count in."""
    for unit, least in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if abs(count) >= least:
            return f"{count / least:.1f} {unit}"
    return f"{count} B"


def mismatch(change: Change) -> str:
    """A change that is still to be done, as a complaint: ``before`` is what is there, ``after`` what was wanted."""
    before, after = _row(change.before), _row(change.after)
    if before == after:
        return f"{change.name} is another build of {before}"
    return f"{change.name} is {before} in place of {after}"


_SETTINGS = {DIVERSION: "diversion of", OVERRIDE: "override of", ALTERNATIVE: "alternative", MODULE: "module"}


def called_setting(change: SettingChange) -> str:
    return f"{_SETTINGS[change.kind]} {change.name}"


def setting_line(change: SettingChange) -> str:
    """A line for a setting that differs: "override of /usr/bin/tool: root adm 2755 (new)"."""
    old, new = (setting and _setting(setting) for setting in change)
    if old is None or new is None:
        return f"{called_setting(change)}: {new} (new)" if new else f"{called_setting(change)}: {old} -> removed"
    return (
        f"{called_setting(change)}: {old} -> {new}" if old != new else f"{called_setting(change)}: {_choices(change)}"
    )


def other_setting(change: SettingChange) -> str:
    """A setting that is still to be put back, as a complaint: ``before`` is there, and ``after`` was wanted."""
    old, new = (_setting(setting) if setting else "absent" for setting in change)
    return f"{called_setting(change)} is {old} in place of {new if old != new else f'the same, but {_choices(change)}'}"


def _setting(setting: Setting) -> str:
    value = setting.value
    if setting.kind == DIVERSION:
        return f"to {value[0]} by {'the administrator' if value[1] == NOBODY else value[1]}"
    if setting.kind == OVERRIDE:
        return " ".join(value)
    if setting.kind == MODULE:
        return " ".join(value[:2]).strip() + (f" ({', '.join(value[2:])})" if value[2:] else "")
    return f"{value[1] or 'without a target'} ({value[0]})"


def _choices(change: SettingChange) -> str:
    """The difference between two alternatives that choose the same."""
    old, new = (setting.as_json().get("choices", ()) for setting in change if setting)
    gone = [f"without {choice['path']}" for choice in old if choice not in new]
    come = [f"with {choice['path']} (priority {choice['priority']})" for choice in new if choice not in old]
    return named([*gone, *come]) or "with other links"


def row_line(change: Change) -> str:
    """A line for a row that differs in anything: "app: 1.0 installed -> 1.0 installed auto"."""
    return f"{change.name}: {_row(change.before)} -> {_row(change.after)}"


def other_mark(change: Change) -> str:
    """A change of nothing but the mark that is still to be done."""
    assert change.before is not None and change.after is not None
    return f"{change.name} is marked {change.before.mark} in place of {change.after.mark}"


def other_effect(
    effect: AbstractSet[Tuple[Slot, Optional[str]]], planned: AbstractSet[Tuple[Slot, Optional[str]]]
) -> str:
    """Return how what a package manager would do differs from a plan."""
    more, less = effect - planned, planned - effect
    parts = (f"it adds {_effects(more)}" if more else "", f"it leaves out {_effects(less)}" if less else "")
    return "; ".join(filter(None, parts))


def _effects(found: AbstractSet[Tuple[Slot, Optional[str]]]) -> str:
    """What a package manager would do, as a list."""
    return named(
        [
            f"{name}{':' + arch if arch else ''} {version or 'removed'}"
            for (name, arch), version in sorted(found, key=str)
        ]
    )


def labels(packages: Sequence[Package]) -> str:
    return named([package.label for package in packages])


def _row(package: Optional[Package]) -> str:
    if package is None:
        return "absent"
    status = package.status if package.flag == "ok" else f"{package.status} ({package.flag})"
    extra = [word for word, shown in (("on hold", package.is_held), (package.mark, package.mark != "manual")) if shown]
    return " ".join([package.version, status, *extra])
