"""Roots of releases of Debian, made once by mmdebstrap and kept: python -m matrix.roots NAME...

A root is named after its release. That of a release with dnf instead of python3-apt has "-dnf" behind the name.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Tuple

from real import mirrors

CHECKOUT = Path(__file__).resolve().parents[2]
# apt 2.2, 2.6, 3.0, and the newest one.
RELEASES = ("bullseye", "bookworm", "trixie", "sid")
# dnf 4.5 with rpm 4.16, 4.14 with 4.18, 4.23 with 4.20, and 4.24 and dnf 5 with rpm 6.
DNF = "-dnf"
DNF_ROOTS = tuple(f"{release}{DNF}" for release in RELEASES)
NAMES = (*RELEASES, *DNF_ROOTS)
# The first line is what the agent needs. The rest are tools of the tests.
PACKAGES = (
    *("python3", "python3-requests", "python3-yaml", "python3-distro"),
    *("acl", "e2fsprogs", "faketime", "gnupg", "iproute2", "mount", "openssl", "procps", "sudo", "util-linux"),
)
# More packages that the agent needs, and the programs that build packages and repositories for its tests.
OF_APT = ("python3-apt",)
OF_DNF = ("dnf", "rpm", "python3-rpm", "createrepo-c")
# bullseye has no plugins of dnf, and sid alone has dnf 5.
ALSO = {"bullseye-dnf": (), "sid-dnf": ("dnf-plugins-core", "dnf5", "python3-libdnf5")}
# From an index of Python packages, because some releases have a pytest that is too old. All of them run on Python 3.9,
# and the second line is what only such an old one needs: pip decides that by the Python that runs it.
TOOLS = (
    *("pytest==8.4.2", "pytest-xdist==3.8.0", "iniconfig==2.1.0"),
    *("exceptiongroup==1.3.0", "tomli==2.2.1", "typing-extensions==4.14.1"),
)
# Settings of mmdebstrap that count only while it makes the root.
SETTINGS = ("etc/dpkg/dpkg.cfg.d/99mmdebstrap", "etc/apt/apt.conf.d/99mmdebstrap")
HOSTS = "127.0.0.1 localhost\n::1 localhost\n"


class Impossible(Exception):
    """The root cannot be made here; the text says why."""


def directory() -> Path:
    """Return the directory that holds the roots. Several checkouts on one machine can share one."""
    return Path(os.environ.get("OS_UPDATE_AGENT_TEST_MATRIX") or CHECKOUT / ".test-venv/matrix").absolute()


def packages(name: str) -> Tuple[str, ...]:
    """Return the packages of Debian that a root has beside those of mmdebstrap's variant."""
    if not name.endswith(DNF):
        return (*PACKAGES, *OF_APT)
    return (*PACKAGES, *OF_DNF, *ALSO.get(name, ("dnf-plugins-core",)))


def root(name: str) -> Path:
    """Return the root of this name; make it if it is missing: a minute, once. Raises Impossible."""
    place = directory() / name
    place.parent.mkdir(parents=True, exist_ok=True)
    stamp = place.with_name(f"{name}.txt")
    content = "\n".join((*packages(name), *TOOLS)) + "\n"
    with stamp.open("a+", encoding="utf-8") as file:
        # One of several test processes makes it; the others wait.
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if file.read() != content:
            _replace(name, place)
            file.truncate(0)
            file.write(content)
    return place


def _replace(name: str, place: Path) -> None:
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f"{name}-") as scratch:
        made = Path(scratch, "root")
        # Its mounts are in a namespace of its own and end with it.
        _run("unshare", "--mount", "--", "mmdebstrap", *_options(name, made))
        _add_tools(made)
        for name in SETTINGS:
            (made / name).unlink(missing_ok=True)
        # This machine's network is no part of the root. The tests need no other name than this.
        (made / "etc/resolv.conf").write_text("", encoding="utf-8")
        (made / "etc/hosts").write_text(HOSTS, encoding="utf-8")
        if place.exists():
            shutil.rmtree(place)
        made.rename(place)


def _options(name: str, made: Path) -> Tuple[str, ...]:
    try:
        mirror = mirrors.main_mirror()
    except LookupError as error:
        raise Impossible(str(error)) from error
    leave_out = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")]
    return (
        *("--quiet", "--mode=root", "--variant=apt", f"--include={','.join(packages(name))}", *leave_out),
        # The Release file of sid has expired on a mirror that stands still.
        *('--aptopt=Acquire::Check-Valid-Until "false"', "--dpkgopt=force-unsafe-io"),
        *(name.removesuffix(DNF), str(made), f"deb {mirror} {name.removesuffix(DNF)} main"),
    )


def _add_tools(made: Path) -> None:
    """Install pytest where the root's Python looks for packages that are not of Debian."""
    (library,) = made.glob("usr/lib/python3.*/os.py")
    version = library.parent.name[len("python") :]
    target = made / f"usr/local/lib/python{version}/dist-packages"
    target.mkdir(parents=True, exist_ok=True)
    only = ("--python-version", version, "--only-binary=:all:", "--target", str(target), "--upgrade", "--no-compile")
    _run(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", *only, *TOOLS)
    _run("chroot", str(made), "python3", "-m", "compileall", "-q", str(target.relative_to(made)))


def _run(*argv: str) -> None:
    """Run a program. Raises Impossible with its words if it fails."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Impossible(f"{' '.join(argv[:4])} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(root(name))
