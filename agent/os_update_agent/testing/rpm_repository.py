"""A tiny rpm repository and an empty private root. root makes them, with rpmbuild, createrepo_c, and rpm.

The root has no shell: scriptlets are in Lua, which rpm itself runs, inside the root.
"""

import json
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Tuple, Union
from xml.sax.saxutils import escape, quoteattr

from os_update_agent.model.errors import UsageError
from os_update_agent.node.process import run
from os_update_agent.testing.pkg import BUILD_TIME, Pkg

TOOLS = ("dnf", "rpm", "rpmbuild", "createrepo_c", "modifyrepo_c")
# The database below the root; some distributions' rpm has it elsewhere by default.
DATABASE = "/var/lib/rpm"

_ROOT_DIRECTORIES = (
    *("dev", "run", "tmp", "usr", "boot", "etc/dnf/vars", "etc/yum.repos.d"),
    *(f"var/{name}" for name in ("cache/dnf", "lib/dnf", "lib/rpm", "log")),
)
_ROOT_CONFIGURATION = """\
[main]
gpgcheck=0
installonlypkgs=kernel
best=True
skip_if_unavailable=False
install_weak_deps=False
"""
_MACROS = (
    *("_binary_payload w0.gzdio", "_build_id_links none", "debug_package %{nil}", "__os_install_post %{nil}"),
    *("_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm", "_buildhost demo.example.org"),
    *("use_source_date_epoch_as_buildtime 1", "clamp_mtime_to_source_date_epoch 1"),
)


@dataclass(frozen=True)
class Rpm:
    """The content of one .rpm file.

    ``arch`` "" is the native one; ``files`` maps absolute paths to their content, ``configs`` lists those of them that
    are %config(noreplace), ``docs`` those that are %doc, ``ghosts`` those that are only announced, ``scripts`` maps
    pre, post, preun, postun, posttrans, or a trigger with its condition ("triggerun -- tool"), to Lua. ``links`` maps
    paths to the targets of symbolic links. ``directories`` are owned and may be empty. ``format`` is that of the file:
    rpm 6 can build "6", too.
    """

    name: str
    version: str
    release: str = "1"
    epoch: str = ""
    arch: str = ""
    requires: Sequence[str] = ()
    provides: Sequence[str] = ()
    conflicts: Sequence[str] = ()
    obsoletes: Sequence[str] = ()
    files: Mapping[str, Union[str, bytes]] = field(default_factory=dict)
    configs: Sequence[str] = ()
    ghosts: Sequence[str] = ()
    docs: Sequence[str] = ()
    scripts: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    directories: Sequence[str] = ()
    format: str = "4"

    @property
    def file(self) -> str:
        return f"{self.name}-{self.version}-{self.release}.{self.arch or native_architecture()}.rpm"


@dataclass(frozen=True)
class Advisory:
    """An entry of updateinfo.xml: ``kind`` is security, bugfix or enhancement; ``reboot`` suggests one."""

    id: str
    kind: str
    rpms: Tuple[Rpm, ...]
    reboot: bool = False


def as_rpm(pkg: Pkg) -> Rpm:
    """Return the .rpm of a package that is described for every package manager."""
    return Rpm(
        pkg.name,
        pkg.version,
        epoch=pkg.epoch,
        requires=pkg.requires,
        provides=pkg.provides,
        conflicts=pkg.breaks,
        obsoletes=pkg.obsoletes,
        files=pkg.files,
        configs=pkg.configs,
        scripts={"post": f"error({json.dumps(pkg.fails)})"} if pkg.fails else {},
    )


def missing_tools() -> List[str]:
    """Return the programs that this module needs and that are not installed."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


@cache
def native_architecture() -> str:
    return run(["rpm", "--eval", "%{_arch}"]).stdout.strip()


def build(rpms: Sequence[Rpm], directory: Path) -> None:
    """Write the packages' .rpm files into the directory; older files of the same names are replaced."""
    directory.mkdir(parents=True, exist_ok=True)
    if not rpms:
        return
    with tempfile.TemporaryDirectory() as scratch:
        specs: Dict[Tuple[str, str], List[Path]] = {}
        for count, rpm in enumerate(rpms):
            target = "" if rpm.arch == "noarch" else rpm.arch
            specs.setdefault((target, rpm.format), []).append(_lay_out(rpm, Path(scratch), count))
        for (target, of_format), some in specs.items():
            build_specs(some, Path(scratch), directory, target, of_format)


def build_specs(specs: Sequence[Path], scratch: Path, directory: Path, target: str = "", of_format: str = "4") -> None:
    """Write the .rpm files of these specs into the directory. rpmbuild works below ``scratch``. It builds for the
    architecture ``target`` ("": the native one), which it takes from its command line only. rpm before 6 knows no other
    format than 4, and ignores it.
    """
    macros = (*_MACROS, f"_rpmformat {of_format}", f"_topdir {scratch}/top", f"_rpmdir {scratch}/rpms")
    defines = [word for macro in macros for word in ("--define", macro)]
    run(
        ["rpmbuild", "-bb", "--quiet", *(["--target", target] if target else []), *defines, *map(str, specs)],
        env={"SOURCE_DATE_EPOCH": BUILD_TIME, "HOME": str(scratch)},
    )
    for path in Path(scratch, "rpms").iterdir():
        shutil.move(str(path), str(directory / path.name))


class Repository:
    """Packages and their metadata in one directory. Nothing shows before ``publish``."""

    def __init__(self, directory: Path, name: str = "demo") -> None:
        self.directory = directory.absolute()
        self.name = name
        self.directory.mkdir(parents=True, exist_ok=True)

    def add(self, *rpms: Rpm) -> None:
        build(rpms, self.directory)

    def remove(self, *rpms: Rpm) -> None:
        """Remove packages. Raises UsageError."""
        for rpm in rpms:
            try:
                (self.directory / rpm.file).unlink()
            except FileNotFoundError:
                raise UsageError(f"{self.directory} has no {rpm.file}") from None

    def publish(self, *advisories: Advisory) -> None:
        """Write the metadata of the packages that are in the directory now, and of these advisories."""
        run(["createrepo_c", "--quiet", "--general-compress-type=gz", str(self.directory)])
        if advisories:
            with tempfile.TemporaryDirectory() as scratch:
                path = Path(scratch, "updateinfo.xml")
                path.write_text(_updateinfo(advisories), encoding="utf-8")
                run(["modifyrepo_c", str(path), str(self.directory / "repodata")])

    def section(self, url: str = "", **options: str) -> str:
        """Return the section of a .repo file for this repository, on the disk or at the URL of a server."""
        settings = {
            "name": self.name,
            "baseurl": url or self.directory.as_uri(),
            "enabled": "1",
            "gpgcheck": "0",
            **options,
        }
        return f"[{self.name}]\n" + "".join(f"{key}={value}\n" for key, value in settings.items())


def make_root(directory: Path, *, repositories: Sequence[str] = ()) -> Path:
    """Make an empty root without packages for rpm and dnf. ``repositories`` are sections of .repo files."""
    root = directory.absolute()
    for name in _ROOT_DIRECTORIES:
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "etc/dnf/dnf.conf").write_text(_ROOT_CONFIGURATION, encoding="utf-8")
    (root / "etc/yum.repos.d/demo.repo").write_text("\n".join(repositories), encoding="utf-8")
    run(["rpm", "--root", str(root), "--dbpath", DATABASE, "--initdb"])
    return root


def _lay_out(rpm: Rpm, scratch: Path, count: int) -> Path:
    """Write the spec of one package and the files that it packs."""
    sources = scratch / "files" / str(count)
    fields = [("Name", rpm.name), ("Version", rpm.version), ("Release", rpm.release), ("Epoch", rpm.epoch)]
    fields += [("Summary", f"demonstration package {rpm.name}"), ("License", "MIT"), ("AutoReqProv", "no")]
    fields += [("BuildArch", rpm.arch)] if rpm.arch == "noarch" else []
    for tag in ("requires", "provides", "conflicts", "obsoletes"):
        fields += [(tag.capitalize(), item) for item in getattr(rpm, tag)]
    lines = [f"{tag}: {value}" for tag, value in fields if value]
    files = _packed(rpm, sources)
    lines += ["%description", f"demonstration package {rpm.name}", "%install", "mkdir -p %{buildroot}"]
    lines += [f"cp -a {sources}/. %{{buildroot}}/"] if files else []
    for name, body in rpm.scripts.items():
        kind, dashes, condition = name.partition(" -- ")
        lines += [f"%{kind} -p <lua>{dashes}{condition}", body]
    lines += ["%files", *files]
    spec = scratch / f"{count}.spec"
    spec.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return spec


def _packed(rpm: Rpm, sources: Path) -> List[str]:
    """Write what the package packs. Return its lines of the %files section."""
    lines = [f"%dir {path}" for path in rpm.directories]
    for path in rpm.directories:
        (sources / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for path, goal in rpm.links.items():
        link = sources / path.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(goal)
        lines.append(path)
    for path, content in rpm.files.items():
        target = sources / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        kinds = (("%config(noreplace) ", rpm.configs), ("%ghost ", rpm.ghosts), ("%doc ", rpm.docs))
        lines.append(next((kind for kind, paths in kinds if path in paths), "") + path)
    return lines


def _updateinfo(advisories: Sequence[Advisory]) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<updates>\n{"".join(map(_update, advisories))}</updates>\n'


def _update(advisory: Advisory) -> str:
    packages = "".join(_package(rpm, advisory.reboot) for rpm in advisory.rpms)
    dates = '<issued date="2026-01-01 00:00:00"/><updated date="2026-01-01 00:00:00"/>'
    return (
        f'<update from="demo" status="final" type={quoteattr(advisory.kind)} version="1"><id>{escape(advisory.id)}</id>'
        f"<title>{escape(advisory.id)}</title>{dates}<description>a demonstration</description>"
        f'<pkglist><collection short="demo"><name>demo</name>{packages}</collection></pkglist></update>\n'
    )


def _package(rpm: Rpm, reboot: bool) -> str:
    values = {"name": rpm.name, "version": rpm.version, "release": rpm.release, "epoch": rpm.epoch or "0"}
    attributes = " ".join(f"{key}={quoteattr(value)}" for key, value in values.items())
    suggests = "<reboot_suggested>True</reboot_suggested>" if reboot else ""
    arch = quoteattr(rpm.arch or native_architecture())
    return f"<package {attributes} arch={arch}><filename>{escape(rpm.file)}</filename>{suggests}</package>"
