"""A tiny apt repository and an empty private root. Any user can make them, with dpkg-deb and apt-get.

Maintainer scripts of packages in such a root run on this machine, with DPKG_ROOT set. Install only packages that are
made here.
"""

import hashlib
import os
import re
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cache
from pathlib import Path
from shlex import quote as quote_for_shell
from typing import List, Mapping, Optional, Sequence, Union
from urllib.parse import quote

from os_update_agent.install.requirements import APT_LIBRARY, lacks_apt_library
from os_update_agent.model.errors import UsageError
from os_update_agent.node.process import run
from os_update_agent.testing.pkg import BUILD_TIME, Pkg

TOOLS = ("apt-get", "dpkg", "dpkg-deb")

ROOT_DIRECTORIES = (
    *("bin", "etc", "etc/alternatives", "run", "sbin", "tmp", "usr"),
    *(f"etc/apt/{name}.d" for name in ("apt.conf", "auth.conf", "preferences", "sources.list", "trusted.gpg")),
    *("var/cache/apt/archives/partial", "var/lib/apt/lists/partial", "var/log/apt"),
    *(f"var/lib/dpkg/{name}" for name in ("alternatives", "info", "parts", "triggers", "updates")),
)
ROOT_FILES = tuple(f"var/lib/dpkg/{name}" for name in ("available", "diversions", "statoverride", "status"))


@dataclass(frozen=True)
class Deb:
    """The content of one .deb file.

    ``arch`` "" is the native one; ``fields`` are further control fields, such as Depends; ``files`` maps paths in the
    package to their content, ``links`` paths to the targets of symbolic links; ``conffiles`` lists those of the files
    that are configuration; ``scripts`` maps preinst, postinst, prerm or postrm to the lines of a shell script, which
    ends at the first command that fails; ``triggers`` is the text of the control file of that name. ``has_sums``: the
    package brings its md5sums, as debhelper makes them.
    """

    name: str
    version: str
    arch: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Union[str, bytes]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    conffiles: Sequence[str] = ()
    scripts: Mapping[str, str] = field(default_factory=dict)
    installed_size: int = 10
    has_sums: bool = False
    triggers: str = ""


def as_deb(pkg: Pkg) -> Deb:
    """Return the .deb of a package that is described for every package manager."""
    fields = {
        "Depends": pkg.requires,
        "Provides": pkg.provides,
        "Breaks": pkg.breaks,
        "Conflicts": pkg.obsoletes,
        "Replaces": pkg.obsoletes,
    }
    return Deb(
        pkg.name,
        pkg.evr,
        fields={name: ", ".join(map(_relation, given)) for name, given in fields.items() if given},
        files={path.lstrip("/"): content for path, content in pkg.files.items()},
        conffiles=[path.lstrip("/") for path in pkg.configs],
        scripts={"postinst": f"echo {quote_for_shell(pkg.fails)} >&2\nexit 1"} if pkg.fails else {},
    )


def _relation(text: str) -> str:
    """Return a relation as dpkg spells it: "app < 2.0" becomes "app (<< 2.0)"."""
    match = re.fullmatch(r"(\S+) ([<>]=?|=) (\S+)", text)
    return f"{match[1]} ({match[2] * 2 if match[2] in '<>' else match[2]} {match[3]})" if match else text


def missing_tools() -> List[str]:
    """Return the programs that this module needs, and the library that the agent needs, if they are not installed."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return [*missing, *([APT_LIBRARY] if lacks_apt_library(Path("/")) else [])]


@cache
def native_architecture() -> str:
    return run(["dpkg", "--print-architecture"]).stdout.strip()


def build(deb: Deb, directory: Path) -> Path:
    """Write the package's .deb file into the directory; an older file of the same name is replaced."""
    directory.mkdir(parents=True, exist_ok=True)
    arch = deb.arch or native_architecture()
    path = directory / _file_name(deb.name, deb.version, arch)
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch, "tree")
        _lay_out(deb, arch, tree)
        run(
            ["dpkg-deb", "-Znone", "--root-owner-group", "-b", str(tree), str(path)],
            env={"SOURCE_DATE_EPOCH": BUILD_TIME},
        )
    return path


class Repository:
    """A flat repository: .deb files, Packages and Release in one directory. Nothing shows before ``publish``."""

    def __init__(self, directory: Path, suite: str = "demo", label: str = "Demo") -> None:
        self.directory = directory.absolute()
        self.suite = suite
        self.label = label
        self.directory.mkdir(parents=True, exist_ok=True)

    def add(self, *debs: Deb) -> None:
        for deb in debs:
            build(deb, self.directory)

    def remove(self, name: str, version: str) -> None:
        """Remove a version of a package, for all architectures. Raises UsageError."""
        paths = list(self.directory.glob(_file_name(name, version, "*")))
        if not paths:
            raise UsageError(f"{self.directory} has no package {name} {version}")
        for path in paths:
            path.unlink()

    def publish(self, **release_fields: str) -> None:
        """Write the index of the packages that are in the directory now.

        ``release_fields`` are fields of Release to add or to replace, with "_" for "-": Valid_Until="Sat, 01 Jan 2022
        00:00:00 GMT".
        """
        release = self.directory / "Release"
        # apt and HTTP compare times in whole seconds: give a second index of the same second another time.
        stamp = max(int(time.time()), int(release.stat().st_mtime) + 1 if release.exists() else 0)
        packages = "".join(_stanza(path) for path in sorted(self.directory.glob("*.deb")))
        _write(self.directory / "Packages", packages, stamp)
        _write(release, self._release(packages, release_fields), stamp)

    def source_line(self, url: Optional[str] = None) -> str:
        """Return the line of a sources.list for this repository, on the disk or at the URL of a server.

        On the disk apt reads index and packages in place: a new index counts before any ``apt-get update``, and no
        package is downloaded. If that matters, serve the directory, or give "copy:" and the directory as ``url``.
        """
        return f"deb [trusted=yes] {url or 'file:' + quote(str(self.directory))} ./"

    def _release(self, packages: str, release_fields: Mapping[str, str]) -> str:
        content = packages.encode()
        fields = {
            "Origin": self.label,
            "Label": self.label,
            "Suite": self.suite,
            "Codename": self.suite,
            "Date": formatdate(usegmt=True),
            "Architectures": " ".join(self._architectures()),
            **{name.replace("_", "-"): value for name, value in release_fields.items()},
            "SHA256": f"\n {hashlib.sha256(content).hexdigest()} {len(content)} Packages",
        }
        return _paragraph(fields)

    def _architectures(self) -> List[str]:
        found = {path.stem.rpartition("_")[2] for path in self.directory.glob("*.deb")}
        return sorted(found - {"all"} | {native_architecture()})


def make_root(directory: Path, *, architecture: Optional[str] = None, sources: Sequence[str] = ()) -> Path:
    """Make an empty root without packages for dpkg and apt. ``sources`` are the lines of its sources.list.

    It has no apt.conf: give apt its settings as options.
    """
    root = directory.absolute()
    for name in ROOT_DIRECTORIES:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ROOT_FILES:
        (root / name).touch()
    (root / "var/lib/dpkg/arch").write_text(f"{architecture or native_architecture()}\n", encoding="utf-8")
    (root / "etc/apt/sources.list").write_text("".join(f"{line}\n" for line in sources), encoding="utf-8")
    return root


def _file_name(name: str, version: str, arch: str) -> str:
    return f"{name}_{version.replace(':', '%3a')}_{arch}.deb"


def _lay_out(deb: Deb, arch: str, tree: Path) -> None:
    """Make the tree that dpkg-deb packs, with modes that do not depend on the umask."""
    _put(tree / "DEBIAN/control", _control(deb, arch))
    if deb.conffiles:
        _put(tree / "DEBIAN/conffiles", "".join(f"/{path.lstrip('/')}\n" for path in deb.conffiles))
    if deb.triggers:
        _put(tree / "DEBIAN/triggers", deb.triggers)
    for name, body in deb.scripts.items():
        _put(tree / "DEBIAN" / name, f"#!/bin/sh\nset -e\n{body}\n")
    if deb.has_sums:
        contents = {
            path: content.encode() if isinstance(content, str) else content for path, content in deb.files.items()
        }
        sums = {path: hashlib.md5(content, usedforsecurity=False).hexdigest() for path, content in contents.items()}
        _put(tree / "DEBIAN/md5sums", "".join(f"{known}  {path.lstrip('/')}\n" for path, known in sums.items()))
    for path, content in deb.files.items():
        _put(tree / path.lstrip("/"), content)
    for path, target in deb.links.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).symlink_to(target)
    for directory in (tree, *(path for path in tree.rglob("*") if path.is_dir())):
        directory.chmod(0o755)


def _put(path: Path, content: Union[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(content)
    path.chmod(0o755 if content.startswith(b"#!") else 0o644)


def _control(deb: Deb, arch: str) -> str:
    fields = {
        "Package": deb.name,
        "Version": deb.version,
        "Architecture": arch,
        "Maintainer": "Demo <demo@example.org>",
        "Installed-Size": str(deb.installed_size),
        "Section": "misc",
        "Priority": "optional",
        "Description": f"demonstration package {deb.name}",
        **deb.fields,
    }
    return _paragraph(fields)


def _paragraph(fields: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def _stanza(path: Path) -> str:
    """Return the entry of one .deb file in the index: its control fields, its place, and its digest."""
    content = path.read_bytes()
    control = run(["dpkg-deb", "--field", str(path)]).stdout.rstrip("\n")
    return (
        f"{control}\nFilename: ./{path.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n\n"
    )


def _write(path: Path, text: str, stamp: int) -> None:
    """Replace the file in one step, so that no reader sees half of it."""
    staging = path.with_name(f".{path.name}")
    staging.write_text(text, encoding="utf-8")
    os.utime(staging, (stamp, stamp))
    os.replace(staging, path)
