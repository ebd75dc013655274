"""Faults of the kept package files, and of what a package is rebuilt from."""

import io
import os
import shutil
import stat
import tarfile
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

from faults.fault import (
    NOBODY,
    VERSIONS_NEW,
    VERSIONS_OLD,
    Lab,
    assert_next_works,
    delivered,
    fault,
    shell,
)
from os_update_agent.testing.repository import Deb, build
from packages.node import Node

SECRET = "root:secret-of-the-shadow-file:1::\n"


def _secret(node: Node) -> Path:
    path = node.directory / "secret"
    path.write_text(SECRET)
    path.chmod(0o600)
    return path


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    if path.is_symlink() or path.exists():
        path.unlink()
    make(path)


def _sparse(path: Path, size: int = 1 << 42) -> None:
    path.touch()
    os.truncate(path, size)


def _other_package(node: Node, path: Path) -> None:
    shutil.move(build(Deb("heldpkg", "9.0-1"), node.directory / "other"), path)


def _packed(path: Path, members: List[Tuple[tarfile.TarInfo, bytes]]) -> None:
    """Write a .deb with these members as its data, under the name and version of libapp 1.0-1."""

    def compressed(found: List[Tuple[tarfile.TarInfo, bytes]]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.GNU_FORMAT) as archive:
            for info, content in found:
                info.size = len(content) if info.isreg() else 0
                archive.addfile(info, io.BytesIO(content))
        return buffer.getvalue()

    control = b"Package: libapp\nVersion: 1.0-1\nArchitecture: all\nMaintainer: x <x@y>\nDescription: x\n"
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": compressed([(tarfile.TarInfo("./control"), control)]),
        "data.tar.gz": compressed(members),
    }
    with path.open("wb") as file:
        file.write(b"!<arch>\n")
        for name, content in parts.items():
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content)
            file.write(b"\n" * (len(content) % 2))


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def _hostile(path: Path) -> None:
    _packed(
        path,
        [
            (_member("./../../../planted-by-dots"), b"x"),
            (_member("/planted-absolute"), b"x"),
            (_member("./dev-sda", tarfile.BLKTYPE), b""),
            (_member("./usr/bin/setuid", mode=0o6755), b"x"),
            (_member("./hard", tarfile.LNKTYPE, "../../../etc/passwd"), b""),
            (_member("./bomb"), bytes(1 << 24)),
        ],
    )


def _replacements(node: Node) -> Dict[str, Callable[[Path], object]]:
    secret = _secret(node)
    return {
        "a pipe": os.mkfifo,
        "a directory": lambda path: (path / "x").mkdir(parents=True),
        "a link to a secret": lambda path: path.symlink_to(secret),
        "a huge sparse file": _sparse,
        "another package": lambda path: _other_package(node, path),
        "truncated": lambda path: path.write_bytes(b"!<arch>\n"),
        "empty": lambda path: path.touch(),
        "a link to nothing": lambda path: path.symlink_to("/nowhere"),
        "a link to itself": lambda path: path.symlink_to(path),
        "a socket": lambda path: os.mknod(path, 0o600 | stat.S_IFSOCK),
        "a device": lambda path: os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5)),
        "hostile members": _hostile,
    }


@fault("archive/kept files are replaced, and the repository has them")
def replaced_and_available(lab: Lab) -> None:
    """Each is fetched again, and the restore succeeds."""
    with lab.node() as node:
        assert delivered(node, "v2").status == 0
        found = list(_replacements(node).items())
        for (first, make), (second, make_other) in lab.some(zip(found[::2], found[1::2])):
            name = f"{first}, {second}"
            _replace(node.archive / node.kept()["libapp 1.0-1"].file, make)
            _replace(node.archive / node.kept()["app 1.0-1"].file, make_other)
            for value, versions in (("v1", VERSIONS_OLD), ("v2", VERSIONS_NEW)):
                result = delivered(node, value)
                assert result.status == 0, (name, result.complaint)
                assert node.versions() == versions, name
            assert node.hand.faults() == "", name
            _assert_nothing_planted(node)


@fault("archive/kept files are replaced, and nobody has them", is_cheap=False)
def replaced_and_lost(lab: Lab) -> None:
    """The restore is refused before anything changes, and names the package; the next update works."""
    with lab.node() as node:
        assert delivered(node, "v2").status == 0
        node.withdraw("1.0-1", "libapp")
        kept = node.archive / node.kept()["libapp 1.0-1"].file
        good, ledger = kept.read_bytes(), (node.state / "ledger.sqlite").read_bytes()
        for name, make in _replacements(node).items():
            _replace(kept, make)
            result = delivered(node, "v1")
            assert result.status == 1 and "libapp" in result.complaint, (name, result.complaint)
            assert node.versions() == VERSIONS_NEW, name
            _assert_nothing_planted(node)
            if kept.is_dir() and not kept.is_symlink():
                shutil.rmtree(kept)
            kept.unlink(missing_ok=True)
            kept.write_bytes(good)
            (node.state / "ledger.sqlite").write_bytes(ledger)
        assert delivered(node, "v1").status == 0 and node.versions() == VERSIONS_OLD


def _assert_nothing_planted(node: Node) -> None:
    assert list(node.directory.rglob("planted-*")) == [] and not Path("/planted-absolute").exists()
    assert (node.directory / "secret").read_text() == SECRET
    assert stat.S_IMODE((node.directory / "secret").stat().st_mode) == 0o600
    wide = [path for path in node.root.rglob("*") if path.lstat().st_mode & 0o6000 and path.is_file()]
    assert wide == []


@fault("archive/odd files that the ledger does not know lie beside the kept ones")
def unknown_files(lab: Lab) -> None:
    """None of them is read, and none stops an update."""
    with lab.node() as node:
        node.archive.mkdir(mode=0o700, exist_ok=True)
        for number, (_, make) in enumerate(_replacements(node).items()):
            make(node.archive / f"app_{number}_all.deb")
        node.withdraw("1.0-1", "app", "libapp")
        (node.root / "etc/app.conf").write_text("edited\n")
        assert delivered(node, "v2").status == 0
        assert delivered(node, "v1").status == 0 and node.versions() == VERSIONS_OLD
        assert (node.root / "etc/app.conf").read_text() == "edited\n"


# --- what a package is rebuilt from


def _lost(node: Node) -> None:
    """The installed version is in no repository any more, so that it has to be rebuilt."""
    node.withdraw("1.0-1", "app", "libapp")
    for path in node.archive.glob("*.deb") if node.archive.is_dir() else ():
        path.unlink()


def _assert_not_rebuilt(node: Node, name: str, value: str) -> None:
    """With archive: required the update is refused in time, and names the package; nothing was taken from elsewhere."""
    begun = time.monotonic()
    result = delivered(node, value, archive="required")
    assert result.status != 0 and ("libapp" in result.complaint), (name, result.told)
    assert time.monotonic() - begun < 30, name
    assert node.versions() == VERSIONS_OLD, name
    kept = [path for path in node.archive.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in path.read_bytes() for path in kept), name
    assert [path for path in node.archive.iterdir() if path.name.startswith(".")] == [], name


@fault("rebuild/the files of a package are replaced")
def replaced_files(lab: Lab) -> None:
    """What is not the package's own file is refused: no pipe blocks, no device is read, no link leads elsewhere."""
    with lab.node() as node:
        _lost(node)
        path = node.root / "usr/lib/libapp"
        good = path.read_bytes()
        cases: Dict[str, Callable[[Path], object]] = {
            "a pipe": os.mkfifo,
            "a huge sparse file": _sparse,
            "a device": lambda path: os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5)),
            "a block device": lambda path: os.mknod(path, 0o600 | stat.S_IFBLK, os.makedev(8, 0)),
            "a socket": lambda path: os.mknod(path, 0o600 | stat.S_IFSOCK),
        }
        for number, (name, make) in enumerate(lab.some(cases.items(), 2)):
            _replace(path, make)
            _assert_not_rebuilt(node, name, f"r{number}")
            path.unlink()
            path.write_bytes(good)
        result = delivered(node, "v2", archive="required")
        assert result.status == 0, result.complaint
        assert delivered(node, "v1").status == 0 and node.versions() == VERSIONS_OLD


@fault("rebuild/a directory of a package belongs to another user, who has replaced it by a link")
def foreign_link(lab: Lab) -> None:
    """A link of another user is not followed; a link of root, as on a merged /usr, is."""
    with lab.node() as node:
        _lost(node)
        library, elsewhere = node.root / "usr/lib", node.root / "root-only"
        elsewhere.mkdir(mode=0o700)
        (elsewhere / "libapp").write_text(SECRET)
        library.rename(node.root / "usr/real")
        library.symlink_to("/root-only")
        os.chown(library, NOBODY, NOBODY, follow_symlinks=False)
        _assert_not_rebuilt(node, "a link of another user", "r1")
        library.unlink()
        library.symlink_to("real")
        result = delivered(node, "v2", archive="required")
        assert result.status == 0, result.complaint


@fault("rebuild/the configuration file of a package is a link of another user to a secret")
def foreign_conffile(lab: Lab) -> None:
    """Its target is not packed."""
    with lab.node() as node:
        _lost(node)
        (node.root / "secret").write_text(SECRET)
        conf = node.root / "etc/app.conf"
        conf.unlink()
        conf.symlink_to("/secret")
        os.chown(conf, NOBODY, NOBODY, follow_symlinks=False)
        result = delivered(node, "v2", archive="required")
        assert result.status != 0 and "app" in result.complaint, result.told
        assert node.versions() == VERSIONS_OLD
        assert not any(SECRET.encode() in path.read_bytes() for path in node.archive.rglob("*") if path.is_file())


_INFO = "var/lib/dpkg/info"


@fault("rebuild/dpkg's list names paths outside of the package")
def hostile_list(lab: Lab) -> None:
    """Only plain absolute paths below the root count, and nothing that the kernel makes up."""
    with lab.node() as node:
        _lost(node)
        secret = _secret(node)
        (node.root / "proc").mkdir()
        listing = node.root / _INFO / "libapp.list"
        good = listing.read_text()
        cases = [
            f"/usr/../..{secret}",
            "../../etc/shadow",
            "//etc//shadow",
            "/proc/kcore",
            "/" + "x/" * 3000,
            "/\udcff",
        ]
        for number, line in enumerate(lab.some(cases)):
            listing.write_bytes(f"{good}{line}\n".encode("utf-8", "surrogateescape"))
            _assert_not_rebuilt(node, line, f"r{number}")
        mount = f"mount -t proc proc {node.root}/proc;"
        for number, line in enumerate(lab.some(("/proc/kcore", "/proc/kmsg"), 1)):
            listing.write_bytes(f"{good}{line}\n".encode())
            begun = time.monotonic()
            result = delivered(node, f"p{number}", "unshare", "--mount", *shell(mount), archive="required")
            assert result.status != 0 and "libapp" in result.complaint, (line, result.told)
            assert time.monotonic() - begun < 30, line
        listing.write_text(good)
        assert delivered(node, "v2", archive="required").status == 0


@fault("rebuild/control files of dpkg's database are replaced")
def hostile_control(lab: Lab) -> None:
    """No pipe blocks, and no link leads to a secret."""
    with lab.node() as node:
        _lost(node)
        secret = _secret(node)
        cases: Dict[str, Callable[[Path], object]] = {
            "a pipe": os.mkfifo,
            "a link": lambda path: path.symlink_to(secret),
            "a sparse file": _sparse,
            "a directory": lambda path: path.mkdir(),
            "a device": lambda path: os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5)),
        }
        for number, (name, make) in enumerate(lab.some(cases.items())):
            path = node.root / _INFO / "libapp.shlibs"
            make(path)
            _assert_not_rebuilt(node, name, f"r{number}")
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        assert delivered(node, "v2", archive="required").status == 0


@fault("rebuild/setuid files, owners and hard links are kept", is_cheap=False)
def setuid_kept(lab: Lab) -> None:
    """A rebuilt package is the installed one, with every mode and owner, and the way back brings them."""
    with lab.node() as node:
        path = node.root / "usr/lib/libapp"
        os.chown(path, 7, NOBODY)
        path.chmod(0o6711)
        _lost(node)
        assert delivered(node, "v2").status == 0
        path.chmod(0o644)
        os.chown(path, 0, 0)
        assert delivered(node, "v1").status == 0
        found = path.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o6711, 7, NOBODY)


@fault("rebuild/a file is replaced while it is packed", is_cheap=False)
def replaced_meanwhile(lab: Lab) -> None:
    """Somebody exchanges a file for a link to a secret again and again: the secret is never packed."""
    with lab.node() as node:
        _lost(node)
        secret, path = _secret(node), node.root / "usr/lib/libapp"
        exchange = (
            "import os, sys\n"
            "path, secret = sys.argv[1:]\n"
            "end = __import__('time').monotonic() + 20\n"
            "while __import__('time').monotonic() < end:\n"
            "    os.symlink(secret, path + '.l'); os.rename(path + '.l', path)\n"
            "    open(path + '.f', 'w').write('1\\n'); os.rename(path + '.f', path)\n"
        )
        pid = os.posix_spawn("/usr/bin/python3", ["python3", "-c", exchange, str(path), str(secret)], os.environ)
        try:
            for number in range(6):
                result = delivered(node, f"r{number}", archive="required", operation="download")
                assert result.status in (0, 1)
                for kept in node.archive.glob("*.deb"):
                    assert SECRET.encode() not in _content_of(kept, "./usr/lib/libapp")
                    kept.unlink()
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        path.unlink()
        path.write_text("1\n")
        assert_next_works(node)


def _content_of(deb: Path, name: str) -> bytes:
    from os_update_agent.packages.apt.builds import packed_content

    found: Optional[bytes] = packed_content(deb, name[1:])
    return found or b""
