"""Settings that packages leave outside of their files, and that no row of the package database shows.

A diversion moves a file of another package away, an override gives a path another owner and mode, and an alternative
chooses the target of a link (dpkg-divert(1), dpkg-statoverride(1), update-alternatives(1)). A module of dnf has at most
one enabled stream, which decides what versions of packages dnf sees (dnf.modularity(7)).
"""

import json
from typing import Any, Dict, Iterable, List, Literal, NamedTuple, Optional, Tuple

Kind = Literal["diversion", "override", "alternative", "module"]
DIVERSION: Kind = "diversion"
OVERRIDE: Kind = "override"
ALTERNATIVE: Kind = "alternative"
MODULE: Kind = "module"

# No name of a package begins with it, so the lines of settings and packages can be mixed.
MARK = "="
# This line says that the settings are known, although there may be none. An agent that does not know settings finds too
# few fields in each of these lines and refuses the state.
_KNOWN = f"{MARK}[]"
# The package of a diversion that the administrator has made (dpkg's own spelling).
NOBODY = ":"


class Setting(NamedTuple):
    """One setting.

    Attributes:
        kind: What it is.
        name: The diverted path, the path with the override, or the name of the alternative.
        value: The new place and the package that diverts; the user, the group and the mode; an Alternative; or the
            state of the module ("enabled" or "disabled"), its stream, and the installed profiles.
    """

    kind: Kind
    name: str
    value: Tuple[str, ...]

    @property
    def line(self) -> str:
        """The setting as one line of ASCII: a path may hold any byte."""
        return f"{MARK}{json.dumps([self.kind, self.name, *self.value] if self.name else [self.kind])}"

    def as_json(self) -> Dict[str, Any]:
        """Return the value with names for its parts."""
        if self.kind == ALTERNATIVE:
            try:
                return Alternative.of(self.value).as_json()
            except ValueError:
                return {"unreadable": list(self.value)}
        if self.kind == MODULE:
            return {"state": self.value[0], "stream": self.value[1], "profiles": list(self.value[2:])}
        names = ("to", "by") if self.kind == DIVERSION else ("user", "group", "mode")
        return dict(zip(names, self.value))


# This one says that the modules are known, although there may be none: older agents did not record any. Its line makes
# an older agent refuse the state, which would ignore the modules otherwise.
MODULES_ARE_KNOWN = Setting(MODULE, "", ())

# None: unknown. The states of older agents and the planned state of an update have no settings.
Settings = Optional[Tuple[Setting, ...]]


def lines_of(settings: Settings) -> List[str]:
    """Return the lines of settings, which settings_in() reads."""
    return [] if settings is None else [_KNOWN, *(setting.line for setting in settings)]


def settings_in(lines: Iterable[str]) -> Settings:
    """Return the settings in lines that begin with MARK; None if there is no line. Raises TypeError."""
    rows = [_row(line) for line in lines]
    return tuple(sorted(Setting(row[0], row[1], tuple(row[2:])) for row in rows if row)) if rows else None


# The parts that a value has at least.
_LEAST_PARTS = {DIVERSION: 2, OVERRIDE: 3, MODULE: 2}


def _row(line: str) -> List[Any]:
    try:
        row = json.loads(line[len(MARK) :])
    except (ValueError, RecursionError) as error:
        raise TypeError(f"{line!r} is no setting") from error
    if row == [MODULE]:
        return list(MODULES_ARE_KNOWN[:2])
    if not isinstance(row, list) or not all(isinstance(one, str) for one in row) or len(row) == 1:
        raise TypeError(f"{line!r} is no setting")
    if row and len(row) - 2 < _LEAST_PARTS.get(row[0], 0):
        raise TypeError(f"{line!r} lacks parts of its value")
    return row


class Choice(NamedTuple):
    """One target of an alternative.

    Attributes:
        path: The target.
        priority: The priority as the tool wrote it; chkconfig puts a family before it and a service behind it.
        slaves: The target of each slave link ("": none).
    """

    path: str
    priority: str
    slaves: Tuple[str, ...]


class Alternative(NamedTuple):
    """The value of an alternative.

    Attributes:
        mode: "auto" (the target with the highest priority) or "manual".
        selected: The present target ("": the link is missing).
        link: The path of the link.
        slaves: The name and the path of each slave link that at least one target has, in the order of the names.
        choices: The targets, in the order of their paths.
    """

    mode: str
    selected: str
    link: str
    slaves: Tuple[Tuple[str, str], ...]
    choices: Tuple[Choice, ...]

    @classmethod
    def of(cls, value: Tuple[str, ...]) -> "Alternative":
        """Return the alternative of a setting's value. Raises ValueError if it is none."""
        if len(value) < 3 or value[0] not in ("auto", "manual") or "" not in value[3:]:
            raise ValueError(f"no alternative: {value[:3]}")
        end = value.index("", 3)
        slaves = tuple(zip(value[3:end:2], value[4:end:2]))
        rest, width = value[end + 1 :], 2 + len(slaves)
        if (end - 3) % 2 or len(rest) % width:
            raise ValueError(f"no alternative: {value[:3]}")
        rows = [rest[start : start + width] for start in range(0, len(rest), width)]
        return cls(value[0], value[1], value[2], slaves, tuple(Choice(row[0], row[1], row[2:]) for row in rows))

    @property
    def value(self) -> Tuple[str, ...]:
        """The alternative as the value of a setting."""
        slaves = (text for pair in self.slaves for text in pair)
        choices = (text for choice in self.choices for text in (choice.path, choice.priority, *choice.slaves))
        return self.mode, self.selected, self.link, *slaves, "", *choices

    @property
    def in_order(self) -> "Alternative":
        """The alternative without the slave links that no target has, and with everything in its order. The tools
        differ in both.
        """
        used = sorted(
            (slave, number)
            for number, slave in enumerate(self.slaves)
            if any(choice.slaves[number] for choice in self.choices)
        )
        choices = (
            choice._replace(slaves=tuple(choice.slaves[number] for _, number in used)) for choice in self.choices
        )
        return self._replace(slaves=tuple(slave for slave, _ in used), choices=tuple(sorted(choices)))

    def as_json(self) -> Dict[str, Any]:
        return {
            "mode": self.mode,
            "selected": self.selected,
            "link": self.link,
            "slaves": [{"name": name, "link": link} for name, link in self.slaves],
            "choices": [
                {
                    "path": choice.path,
                    "priority": choice.priority,
                    "slaves": [
                        {"name": name, "path": path} for (name, _), path in zip(self.slaves, choice.slaves) if path
                    ],
                }
                for choice in self.choices
            ],
        }


class SettingChange(NamedTuple):
    """One setting's way from ``before`` to ``after``; None: not there. At least one of them is there."""

    before: Optional[Setting]
    after: Optional[Setting]

    @property
    def setting(self) -> Setting:
        """The new setting, or the old one of a removal."""
        setting = self.after or self.before
        assert setting is not None
        return setting

    @property
    def kind(self) -> Kind:
        return self.setting.kind

    @property
    def name(self) -> str:
        return self.setting.name

    def as_json(self) -> Dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name,
            "before": self.before.as_json() if self.before else None,
            "after": self.after.as_json() if self.after else None,
        }


def differing(before: Settings, after: Settings) -> Tuple[SettingChange, ...]:
    """Return the settings that differ; none if one side is unknown, and no module if one side does not know modules."""
    if before is None or after is None:
        return ()
    knows_modules = MODULES_ARE_KNOWN in before and MODULES_ARE_KNOWN in after
    old, new = (
        {(setting.kind, setting.name): setting for setting in side if knows_modules or setting.kind != MODULE}
        for side in (before, after)
    )
    return tuple(
        SettingChange(old.get(place), new.get(place))
        for place in sorted(old.keys() | new.keys())
        if old.get(place) != new.get(place)
    )
