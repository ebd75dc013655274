"""A disk image with the kernel of the release as it came out, and the packages of a newer kernel: both real, at any
date.

The newer one is in the release's security updates; in the days after a point release, when there is none, in its
backports.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGE = "linux-image-amd64"


@dataclass(frozen=True)
class Mirrors:
    """This machine's own mirrors of Debian and of its security updates."""

    main: str
    security: str


def mirrors() -> Mirrors:
    argv = ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Origin: Debian"]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines, "this machine has no package lists of Debian: apt-get update"
    found = dict(line.split() for line in lines)
    main = next(url for suite, url in found.items() if "-" not in suite)
    security = next(url for suite, url in found.items() if suite.endswith("-security"))
    return Mirrors(main.rstrip("/"), security.rstrip("/"))


def fetch_newer(release: str, directory: Path, suite: str = "") -> List[Path]:
    """Download the packages of a kernel newer than the release's own into the directory; from the first of the
    release's suites that has one, or from ``suite``. Raises LookupError when there is none."""
    found = mirrors()
    suites = {release: found.main, f"{release}-security": found.security, f"{release}-backports": found.main}
    apt = _Apt(directory / "apt", suites)
    versions = {each: apt.version(each) for each in suites}
    newer = [
        each
        for each in suites
        if each != release and _is_newer(versions[each], versions[release]) and suite in ("", each)
    ]
    if not newer:
        raise LookupError(f"no kernel newer than that of {release} ({versions[release]}): {versions}")
    # Everything that the kernel's source has, and nothing else: the rest is in the image, or the guest says what it
    # lacks.
    apt.download([package for package in apt.would_install(newer[0]) if package.startswith("linux-")], directory)
    return sorted(directory.glob("*.deb"))


def _is_newer(version: str, than: str) -> bool:
    return bool(version) and subprocess.run(["dpkg", "--compare-versions", version, "gt", than]).returncode == 0


class _Apt:
    """apt with sources and lists of its own, for a machine on which nothing is installed."""

    def __init__(self, directory: Path, suites: Dict[str, str]) -> None:
        parts = ("apt.conf", "preferences", "sources.list", "trusted.gpg")
        for name in (*(f"etc/{part}.d" for part in parts), "lists/partial", "cache/archives/partial"):
            (directory / name).mkdir(parents=True)
        lines = (f"deb [signed-by={KEYRING} arch=amd64] {url} {suite} main\n" for suite, url in suites.items())
        (directory / "etc/sources.list").write_text("".join(lines))
        places = {"Dir::Etc": "etc", "Dir::State::lists": "lists", "Dir::Cache": "cache"}
        self._options = [f"-o{name}={directory / value}" for name, value in places.items()]
        self._options += ["-oDir::State::status=/dev/null", "-oAPT::Sandbox::User=root", "-oAPT::Install-Recommends=0"]
        self._run("apt-get", "update")

    def version(self, suite: str) -> str:
        """The version of the kernel's metapackage in the suite; '' for none."""
        shown = self._run("apt-cache", "madison", PACKAGE)
        lines = [line.split("|") for line in shown.splitlines()]
        return next((fields[1].strip() for fields in lines if f" {suite}/main " in fields[2]), "")

    def would_install(self, suite: str) -> List[str]:
        """What apt would install with the kernel of the suite, each as name=version."""
        simulated = self._run("apt-get", "--simulate", "--target-release", suite, "install", f"{PACKAGE}/{suite}")
        found = (re.match(r"Inst (\S+) \((\S+)", line) for line in simulated.splitlines())
        return [f"{match[1]}={match[2]}" for match in found if match]

    def download(self, packages: List[str], directory: Path) -> None:
        self._run("apt-get", "download", *packages, cwd=directory)

    def _run(self, program: str, *arguments: str, cwd: Path = Path("/")) -> str:
        argv = [program, "-q", *self._options, *arguments]
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True)
        assert done.returncode == 0, f"{argv} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout
