"""The digest of a build is the same for a package file and for the package that dpkg has installed from it."""

import hashlib
import os
from pathlib import Path

import pytest

from os_update_agent.packages.apt.builds import FORMAT, InstalledBuilds, digests_of_files, packed_content
from packages.apt.dpkgroot import Root, call

FILES = {
    "/usr/share/app/data": "data\n",
    "/usr/share/app/a b": "blank\n",
    "/usr/share/app/back\\slash": "slash\n",
    "/usr/share/app/ä": "umlaut\n",
    "/usr/share/app/link": "->data",
    "/etc/app.conf": "a=1\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def installed(root: Root) -> str:
    admin = root.path / "var/lib/dpkg"
    text = call("dpkg-query", f"--admindir={admin}", "--show", f"--showformat={FORMAT}")
    (digest,) = InstalledBuilds(admin).digests(text).values()
    return digest


def packed(root: Root, deb: Path) -> str:
    return digests_of_files([deb], root.base, None)[deb]


@pytest.mark.parametrize("has_sums", [False, True])
@pytest.mark.parametrize("compression", ["none", "gzip", "xz", "zstd"])
def test_file_and_database_agree(root: Root, compression: str, has_sums: bool) -> None:
    if compression not in call("dpkg-deb", "--help"):
        pytest.skip(f"dpkg-deb has no {compression} before Debian 12")
    control = {"conffiles": "/etc/app.conf\n"}
    if has_sums:
        control["md5sums"] = f"{hashlib.md5(b'data' + os.linesep.encode()).hexdigest()}  usr/share/app/data\n"
    # dpkg writes all of this in another way into its database.
    extra = "Depends: dpkg(>=1),  libc6 ( >= 2) | base-files\nSuggests: old (2.0)\nMulti-Arch: no\nPriority: Extra\n"
    deb = root.build("app", "0:1.0", FILES, extra=extra, **control)
    tree = root.base / "build-app-0_1.0"
    os.link(tree / "usr/share/app/data", tree / "usr/share/app/hard")
    call("dpkg-deb", "--root-owner-group", f"-Z{compression}", "--build", str(tree), str(deb))
    root.dpkg("--force-depends", "--install", str(deb))
    assert packed(root, deb) == installed(root)
    assert packed_content(deb, "/etc/app.conf") == b"a=1\n" and packed_content(deb, "/etc/other") is None


def test_other_bytes_or_other_fields_are_another_build(root: Root) -> None:
    found = set()
    for number, (files, extra) in enumerate(
        [(FILES, ""), ({**FILES, "/usr/share/app/data": "other\n"}, ""), (FILES, "Depends: dpkg\n")]
    ):
        deb = root.build("app", f"1.{number}", files, extra=extra)
        found.add(packed(root, deb))
        # The version is part of the identity, and not of the digest.
        again = root.build("app", f"2.{number}", files, extra=extra)
        found.add(packed(root, again))
    assert len(found) == 3


def test_builds_of_one_name_are_told_apart_in_one_call(root: Root) -> None:
    first = root.build("app", "1", FILES)
    kept = first.rename(first.with_name("kept.deb"))
    second = root.build("app", "2", {**FILES, "/usr/share/app/data": "other\n"})
    broken = root.base / "broken.deb"
    broken.write_bytes(kept.read_bytes()[:100])
    found = digests_of_files([kept, broken, second], root.base, None)
    assert found == {kept: packed(root, kept), second: packed(root, second)} and len(set(found.values())) == 2


def test_an_image_that_leaves_files_out_has_the_same_builds(root: Root) -> None:
    deb = root.build("app", "1", {**FILES, "/usr/share/doc/app/readme": "read\n"})
    root.dpkg("--path-exclude=/usr/share/doc/*", "--install", str(deb))
    found = digests_of_files([deb], root.base, lambda path: path.startswith("/usr/share/doc/"))
    assert found[deb] == installed(root) != packed(root, deb)
