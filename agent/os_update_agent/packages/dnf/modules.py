"""The enabled and disabled streams of dnf's modules (dnf.modularity(7)), as settings of the package state.

dnf 4 has a file for each module below /etc/dnf/modules.d, and keeps the metadata of each enabled stream below
persistdir, so that its packages stay modular without their repository (modulefailsafe). dnf 5 has one TOML file, which
libdnf5 alone writes; Python 3.9 has no reader for TOML.
"""

import configparser
import json
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from os_update_agent.config.bounded_files import RECORD_LIMIT, read_text
from os_update_agent.model.errors import PackageError
from os_update_agent.model.settings import MODULE, MODULES_ARE_KNOWN, Setting, SettingChange

# Below the root; dnf 4 has no option for it.
DIRECTORY = Path("etc/dnf/modules.d")
# Below the archive: dnf 4's metadata of streams that were enabled once.
MODULES = ".modules"
_FAILSAFE = "modulefailsafe"
_FILE = "modules.toml"
# The name of a module becomes the name of a file.
_NAME = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9._+-]*")
# [modules.perl]   [modules."a.b"]
_TABLE = re.compile(r'^\[modules\.(?:"(?P<quoted>[^"]+)"|(?P<name>[^\]"]+))\]$')
_ENTRY = re.compile(r"^(?P<key>\w+) *= *(?P<value>.*)$")
_HEAD = 'version = "1.0"\n\n[modules]\n'


def modules4(root: Path) -> List[Setting]:
    """Return the modules in dnf 4's files. Raises PackageError."""
    found = [MODULES_ARE_KNOWN]
    for path in sorted((root / DIRECTORY).glob("*.module")):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(read_text(path))
        except (configparser.Error, OSError, UnicodeDecodeError) as error:
            raise PackageError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
        for name in parser.sections():
            entry = parser[name]
            profiles = [one.strip() for one in entry.get("profiles", "").split(",") if one.strip()]
            found += _setting(name, entry.get("state", ""), entry.get("stream", ""), profiles)
    return found


def modules5(state: Path) -> List[Setting]:
    """Return the modules in dnf 5's file. Raises PackageError."""
    return [MODULES_ARE_KNOWN, *(setting for name, entry in _tables(state).items() for setting in _of5(name, entry))]


def _of5(name: str, entry: Mapping[str, str]) -> List[Setting]:
    try:
        stream = json.loads(entry.get("enabled_stream", '""'))
        profiles = json.loads(entry.get("installed_profiles", "[]"))
        return _setting(name, json.loads(entry.get("state", '""')), stream, profiles)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise PackageError(f"the module {name} in {_FILE} of dnf cannot be read: {error}") from error


def _setting(name: str, state: str, stream: str, profiles: Sequence[str]) -> List[Setting]:
    """Return a module as a setting; none if it has been reset."""
    known = state.lower()
    if known not in ("enabled", "disabled"):
        return []
    return [Setting(MODULE, name, (known, stream, *sorted(profiles)))]


def _tables(state: Path) -> Dict[str, Dict[str, str]]:
    """Return the entries of each module as they stand in the file."""
    try:
        text = read_text(state / _FILE, RECORD_LIMIT)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise PackageError(f"the record of dnf, {state / _FILE}, cannot be read: {error}") from error
    found: Dict[str, Dict[str, str]] = {}
    entries: Dict[str, str] = {}
    for line in map(str.strip, text.splitlines()):
        table, entry = _TABLE.match(line), _ENTRY.match(line)
        if table:
            entries = found.setdefault(table["quoted"] or table["name"], {})
        elif entry:
            entries[entry["key"]] = entry["value"]
    return found


def set_modules4(changes: Sequence[SettingChange], root: Path, persistent: Path, kept: Path) -> None:
    """Write dnf 4's files, and put back the metadata of the streams from ``kept``. Raises PackageError."""
    for name, setting in _named(changes):
        path = root / DIRECTORY / f"{name}.module"
        failsafe = persistent / _FAILSAFE
        try:
            for old in failsafe.glob(f"{name}:*.yaml"):
                old.unlink()
            if setting is None:
                path.unlink(missing_ok=True)
                continue
            state, stream, *profiles = setting.value
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, f"[{name}]\nname={name}\nstream={stream}\nprofiles={','.join(profiles)}\nstate={state}\n")
            if state == "enabled":
                failsafe.mkdir(parents=True, exist_ok=True)
                for copy in kept.glob(f"{name}:{_literal(stream)}:*.yaml"):
                    shutil.copyfile(copy, failsafe / copy.name)
        except OSError as error:
            raise PackageError(f"the module {name} cannot be set: {error}") from error


def set_modules5(changes: Sequence[SettingChange], state: Path) -> None:
    """Write dnf 5's file. Raises PackageError."""
    tables = _tables(state)
    for name, setting in _named(changes):
        word, stream, *profiles = setting.value if setting else ("available", "")
        tables[name] = {
            "enabled_stream": json.dumps(stream),
            "installed_profiles": json.dumps(profiles),
            "state": json.dumps(word.capitalize()),
        }
    sections = (
        f"[modules.{name if re.fullmatch('[A-Za-z0-9_-]+', name) else json.dumps(name)}]\n"
        + "".join(f"{key} = {value}\n" for key, value in sorted(entry.items()))
        for name, entry in sorted(tables.items())
    )
    try:
        _write(state / _FILE, _HEAD + "".join(f"{section}\n" for section in sections))
    except OSError as error:
        raise PackageError(f"the modules cannot be set: {error}") from error


def keep_failsafe(persistent: Path, kept: Path) -> None:
    """Copy the metadata of the enabled streams, which dnf 4 drops with the stream. Without a copy dnf writes it again
    from a repository that has the stream.
    """
    with suppress(OSError):
        for path in (persistent / _FAILSAFE).glob("*.yaml"):
            kept.mkdir(mode=0o700, exist_ok=True)
            copy = kept / path.name
            if not copy.exists() or copy.stat().st_mtime < path.stat().st_mtime:
                shutil.copyfile(path, copy)


def _named(changes: Sequence[SettingChange]) -> Iterator[Tuple[str, Optional[Setting]]]:
    for change in changes:
        if change.kind == MODULE and _NAME.fullmatch(change.name):
            yield change.name, change.after


def _literal(text: str) -> str:
    """Return the text for a pattern in which it means itself."""
    return re.sub(r"[*?\[]", lambda match: f"[{match[0]}]", text)


def _write(path: Path, text: str) -> None:
    staging = path.with_name(f"{path.name}.new")
    staging.write_text(text, encoding="utf-8")
    staging.chmod(0o644)
    os.replace(staging, path)
