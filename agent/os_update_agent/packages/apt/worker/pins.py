"""The preferences of a node, for the file that holds a version back (apt_preferences(5)). Runs in the worker, Python
3.9.

apt's library returns the priority of a version and not where it comes from, so the files are read a second time. A pin
that this reading gets wrong has another priority than apt's, and is not named.
"""

import os
import re
from fnmatch import fnmatchcase
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Tuple

import apt_pkg

# The keys of "Pin: release a=stable,l=Debian" with the attribute of a package file.
_RELEASE = {"a": "archive", "n": "codename", "l": "label", "o": "origin", "v": "version", "c": "component"}
# Characters that are read of a file.
LIMIT = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9_:-][A-Za-z0-9._:-]*")
# apt's own limits of a priority; "never" is the lowest.
_NEVER, _LOWEST, _HIGHEST = -32768, -32767, 32767


class Pin(NamedTuple):
    """One record of a preferences file."""

    file: str
    names: Tuple[str, ...]
    kind: str
    pattern: str
    priority: int

    @property
    def is_general(self) -> bool:
        return self.names == ("*",)

    @property
    def text(self) -> str:
        return f"priority {self.priority} in {self.file}"

    def matches(self, package: Any, version: Any, source: Callable[[Any], str]) -> bool:
        """Return whether the record is about a version. ``source`` returns the source package of a version."""
        if not self._matches_version(version):
            return False
        for name in self.names:
            kind, _, rest = name.partition(":")
            if _is_like(rest, source(version)) if kind == "src" and rest else _is_name(name, package):
                return True
        return False

    def _matches_version(self, version: Any) -> bool:
        if self.kind == "version":
            return _is_like(self.pattern, version.ver_str)
        files = [file for file, _ in version.file_list]
        if self.kind == "origin":
            return any(_is_like(self.pattern.strip('"'), file.site or "") for file in files)
        return self.kind == "release" and any(_is_release(self.pattern, file) for file in files)


def pins_of_node() -> List[Pin]:
    """Return the records of the preferences in apt's order: records for names come before those for all packages."""
    pins = [pin for path in _files() for pin in _records(path)]
    return sorted(pins, key=lambda pin: pin.is_general)


def _files() -> Iterator[str]:
    yield apt_pkg.config.find_file("Dir::Etc::preferences")
    directory = apt_pkg.config.find_dir("Dir::Etc::preferencesparts")
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
        # apt ignores other names.
        if os.path.splitext(name)[1] in ("", ".pref") and _NAME.fullmatch(name):
            yield os.path.join(directory, name)


def _records(path: str) -> Iterator[Pin]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(LIMIT).splitlines()
    except OSError:
        return
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    for record in re.split(r"\n\s*\n", text):
        joined = re.sub(r"\n[ \t]+", " ", record)
        fields = {name.strip().lower(): value.strip() for name, _, value in map(_parted, joined.splitlines())}
        kind, _, pattern = fields.get("pin", "").partition(" ")
        priority = _priority(fields.get("pin-priority", ""))
        if kind and priority is not None:
            yield Pin(path, tuple(fields.get("package", "").split()), kind, pattern.strip(), priority)


def _priority(text: str) -> Optional[int]:
    if text == "never":
        return _NEVER
    return max(_LOWEST, min(_HIGHEST, int(text))) if re.fullmatch(r"[+-]?[0-9]{1,6}", text) else None


def _parted(line: str) -> Tuple[str, str, str]:
    return line.partition(":")


def _is_name(name: str, package: Any) -> bool:
    name, _, arch = name.partition(":")
    if arch not in ("", "any", package.architecture, "native"):
        return False
    return _is_like(name, package.name)


def _is_release(pattern: str, file: Any) -> bool:
    if pattern == "*":
        return True
    if "=" not in pattern:
        return pattern in (file.archive, file.codename, file.version)
    terms = [term.strip().partition("=") for term in pattern.split(",")]
    return all(_is_like(value, getattr(file, _RELEASE.get(key, ""), None) or "") for key, _, value in terms)


def _is_like(pattern: str, text: str) -> bool:
    """Return whether a name, a glob, or an expression between slashes means the text."""
    if len(pattern) > 1 and pattern.startswith("/") and pattern.endswith("/"):
        try:
            return re.search(pattern[1:-1], text) is not None
        except re.error:
            return False
    return fnmatchcase(text, pattern)
