"""Lets packages leave although their own scripts or hooks fail, where a way back has to replace or remove them.

Facts (dpkg(1), deb-prerm(5), and measured with dpkg 1.21): a package whose prerm or postrm fails stays, or stays half
removed, and no option of dpkg changes that. If the other version has such a script, dpkg tries that one instead; most
have none. apt runs the hooks of its configuration, also those whose program has just left with its package.

Two things help, for the time of one attempt. Each script of a leaving package is run by a wrapper that reports its
failure and succeeds. apt gets the settings of the node without those that leaving packages have brought.
"""

import os
import re
import shlex
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Iterator, List, Sequence, Tuple

from os_update_agent.config.bounded_files import read_text
from os_update_agent.model.packages import Package
from os_update_agent.packages.apt.dpkg_files import listed_paths
from os_update_agent.packages.complaints import LEAVING, as_line

_SCRIPTS = ("prerm", "postrm", "postinst")
# dpkg ignores what begins with a dot. The scripts keep their names: debconf finds the package by them.
_KEPT = ".os-update-agent"
_MARK = "# os-update-agent: runs the script of a leaving package and ignores its failure"
_WRAPPER = f"""\
#!/bin/sh
{_MARK}
"${{0%/*}}/{_KEPT}/${{0##*/}}" "$@" || echo {shlex.quote(as_line(LEAVING))} \\
    "$DPKG_MAINTSCRIPT_PACKAGE: $DPKG_MAINTSCRIPT_NAME $1 ended with exit status $?"
exit 0
"""
# Where apt's configuration names programs that a transaction runs (apt.conf(5), apt's json-hooks-protocol.md).
HOOKS = (
    *("DPkg::Pre-Invoke", "DPkg::Pre-Install-Pkgs", "DPkg::Post-Invoke"),
    *("APT::Install::Pre-Invoke", "APT::Install::Post-Invoke-Success", "AptCli::Hooks"),
)
# E: Problem executing scripts DPkg::Post-Invoke '/usr/bin/hook'
_FAILED_HOOK = re.compile(r"Problem executing scripts \S+ '(?P<command>.*)'")
_PARTS = "/etc/apt/apt.conf.d/"


def wrap_scripts(admin: Path, packages: Sequence[Package]) -> None:
    """Wrap the scripts of installed packages below a dpkg database until unwrap_scripts()."""
    kept = admin / "info" / _KEPT
    kept.mkdir(mode=0o755, exist_ok=True)
    for script in (script for package in packages for script in _scripts(admin, package)):
        # Unpacking a package again brings its scripts again.
        (kept / script.name).unlink(missing_ok=True)
        os.link(script, kept / script.name)
        _put(script, _WRAPPER)


def unwrap_scripts(admin: Path) -> None:
    """Put back the scripts that are still wrapped, also after a kill. Those of packages that have left are dropped."""
    kept = admin / "info" / _KEPT
    for original in sorted(kept.iterdir()) if kept.is_dir() else ():
        script = kept.parent / original.name
        if _is_wrapper(script):
            os.replace(original, script)
        else:
            original.unlink()
    with suppress(FileNotFoundError):
        kept.rmdir()


def _scripts(admin: Path, package: Package) -> List[Path]:
    """Return the scripts of a package. The files of Multi-Arch: same packages are named with the architecture."""
    found = [admin / "info" / f"{name}.{kind}" for name in _stems(package) for kind in _SCRIPTS]
    return [path for path in found if path.is_file() and not _is_wrapper(path)]


def _stems(package: Package) -> Tuple[str, str]:
    return f"{package.name}:{package.arch}", package.name


def _is_wrapper(path: Path) -> bool:
    try:
        return _MARK.encode() in path.read_bytes()[: len(_WRAPPER)]
    except OSError:
        return False


def _put(path: Path, text: str) -> None:
    """Replace a script in one step."""
    descriptor, new = tempfile.mkstemp(dir=path.parent, prefix=".")
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o755)
    os.replace(new, path)


@contextmanager
def other_settings(root: Path, packages: Sequence[Package], work: Path, own: str) -> Iterator[str]:
    """Yield a file for APT_CONFIG under which apt leaves out the configuration files of the packages; "" if they have
    none. ``own`` is the file that APT_CONFIG names otherwise ("" if none).
    """
    leaving = {path for package in packages for path in _parts_of(root, package)}
    present = [path for path in sorted((root / _PARTS.lstrip("/")).glob("*")) if path.is_file()]
    if not any(path.name in leaving for path in present):
        yield ""
        return
    place = Path(tempfile.mkdtemp(dir=work, prefix="settings-"))
    try:
        (place / "parts").mkdir()
        for path in present:
            if path.name not in leaving:
                (place / "parts" / path.name).symlink_to(path)
        include = f'#include "{own}";\n' if own else ""
        (place / "all").write_text(f'{include}Dir::Etc::parts "{place}/parts";\n', encoding="utf-8")
        yield str(place / "all")
    finally:
        shutil.rmtree(place, ignore_errors=True)


class PartsOfLeaving:
    """The apt settings of packages that a transaction removes or replaces, as they are before it.

    apt runs the hooks that it has read at its start, also those whose program has left meanwhile.
    """

    def __init__(self, root: Path, removed: Sequence[Package], replaced: Sequence[Package]) -> None:
        self._root = root
        # A removed package leaves its configuration files behind.
        self._removed = {name for package in removed for name in _parts_of(root, package)}
        names = self._removed.union(*(_parts_of(root, package) for package in replaced))
        self._before = [text for name, text in self._texts() if name in names]

    def marked(self, complaint: str) -> str:
        """Return the complaint, marked if it is about a hook that only leaving packages have named."""
        match = _FAILED_HOOK.search(complaint)
        if match is None or not any(match["command"] in text for text in self._before):
            return complaint
        left = (text for name, text in self._texts() if name not in self._removed)
        return complaint if any(match["command"] in text for text in left) else f"{LEAVING}{complaint}"

    def _texts(self) -> List[Tuple[str, str]]:
        """Return the name and the text of each file of apt's settings."""
        files = [*sorted((self._root / _PARTS.lstrip("/")).glob("*")), self._root / "etc/apt/apt.conf"]
        found = []
        for file in files:
            with suppress(OSError):
                found.append((file.name, read_text(file, errors="surrogateescape")))
        return found


def _parts_of(root: Path, package: Package) -> List[str]:
    """Return the names of a package's files in the directory of apt's settings."""
    with suppress(OSError):
        paths = listed_paths(root / "var/lib/dpkg", package)
        return [path[len(_PARTS) :] for path in paths if path.startswith(_PARTS)]
    return []
