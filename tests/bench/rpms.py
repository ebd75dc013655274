"""Many packages for dnf at once: rpmbuild makes those of one spec in a fraction of the time that it takes for one
each.
"""

import gzip
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Sequence

from os_update_agent.testing.rpm_repository import build_specs


def build_many(names: Sequence[str], version: str, files: int, size: int, directory: Path) -> None:
    """Packages of so many files of ``size`` random bytes, and a scriptlet."""
    lines = ["Name: many", f"Version: {version}", "Release: 1", "Summary: many", "License: MIT", "%description", "many"]
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            content = Path(scratch, "files/usr/share", name)
            content.mkdir(parents=True)
            for number in range(files):
                (content / str(number)).write_bytes(os.urandom(size))
            lines += [f"%package -n {name}", f"Summary: {name}", "AutoReqProv: no", f"%description -n {name}", name]
            lines += [f"%post -n {name} -p <lua>", "return 0", f"%files -n {name}", f"/usr/share/{name}/*"]
        lines += ["%install", f"cp -al {scratch}/files/. %{{buildroot}}/"]
        spec = Path(scratch, "many.spec")
        spec.write_text("\n".join(lines) + "\n", encoding="utf-8")
        build_specs([spec], Path(scratch), directory)


def write_catalogue(directory: Path, count: int, version: str) -> str:
    """A repository with the metadata of ``count`` packages that nobody installs, as a distribution has them. Returns
    its .repo section.
    """
    names = [f"other{number:05}" for number in range(count)]
    made = {"primary": "http://linux.duke.edu/metadata/common", "filelists": "http://linux.duke.edu/metadata/filelists"}
    entries = []
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "repodata").mkdir(parents=True)
    for kind, namespace in made.items():
        packages = "".join((_primary if kind == "primary" else _filelists)(name, version) for name in names)
        root = "metadata" if kind == "primary" else kind
        rpm_namespace = ' xmlns:rpm="http://linux.duke.edu/metadata/rpm"' if kind == "primary" else ""
        text = (
            f'<?xml version="1.0"?>\n<{root} xmlns="{namespace}"{rpm_namespace}'
            f' packages="{count}">\n{packages}</{root}>\n'
        )
        content = gzip.compress(text.encode(), mtime=0)
        (directory / f"repodata/{kind}.xml.gz").write_bytes(content)
        entries.append(
            f'<data type="{kind}"><checksum type="sha256">{hashlib.sha256(content).hexdigest()}</checksum>'
            f'<location href="repodata/{kind}.xml.gz"/><timestamp>1</timestamp><size>{len(content)}</size></data>'
        )
    repomd = (
        '<?xml version="1.0"?>\n<repomd'
        f' xmlns="http://linux.duke.edu/metadata/repo"><revision>{version}</revision>{"".join(entries)}</repomd>'
    )
    (directory / "repodata/repomd.xml").write_text(repomd, encoding="utf-8")
    return f"[others]\nname=others\nbaseurl={directory.as_uri()}\nenabled=1\ngpgcheck=0\n"


def _primary(name: str, version: str) -> str:
    entries = "".join(
        f'<rpm:entry name="{name}({number})" flags="EQ" epoch="0" ver="{version}"/>' for number in range(8)
    )
    needs = "".join(f'<rpm:entry name="other{number:05}"/>' for number in range(8))
    return (
        f'<package type="rpm"><name>{name}</name><arch>noarch</arch><version epoch="0" ver="{version}" rel="1"/>'
        f'<checksum type="sha256" pkgid="YES">{_id(name, version)}</checksum><summary>one of many</summary>'
        "<description>One of the many packages that a distribution has and that are not installed on this"
        " node.</description>"
        f'<packager/><url>https://example.org/{name}</url><time file="1" build="1"/><size package="1" installed="1"'
        ' archive="1"/>'
        f'<location href="{name}.rpm"/><format><rpm:license>MIT</rpm:license><rpm:vendor/><rpm:group/><rpm:buildhost/>'
        f'<rpm:sourcerpm>{name}.src.rpm</rpm:sourcerpm><rpm:header-range start="1" end="2"/>'
        f"<rpm:provides>{entries}</rpm:provides><rpm:requires>{needs}</rpm:requires><file>/usr/bin/{name}</file></format></package>\n"
    )


def _filelists(name: str, version: str) -> str:
    files = "".join(f"<file>/usr/share/{name}/{number}</file>" for number in range(30))
    return (
        f'<package pkgid="{_id(name, version)}" name="{name}" arch="noarch"><version epoch="0" ver="{version}"'
        f' rel="1"/>{files}</package>\n'
    )


def _id(name: str, version: str) -> str:
    return hashlib.sha256(f"{name} {version}".encode()).hexdigest()
