"""The mirrors of Debian that this machine's own apt uses, or that the environment names."""

import os
import re
from pathlib import Path
from typing import FrozenSet, List, Mapping, NamedTuple, Tuple
from urllib.request import Request, urlopen

MAIN = "OS_UPDATE_AGENT_TEST_MIRROR"
SECURITY = "OS_UPDATE_AGENT_TEST_SECURITY"
RELEASE, NEXT = "bookworm", "trixie"
NATIVE, FOREIGN = "amd64", "i386"
TIMEOUT = 60.0


class Mirrors(NamedTuple):
    """A mirror of Debian and one of its security updates.

    ``stale`` holds the suites whose index of the foreign architecture is not the one that their Release names: apt
    refuses such a mirror. Their packages of the foreign architecture are left out.
    """

    main: str
    security: str
    stale: FrozenSet[str] = frozenset()

    def suites(self, release: str, *, updates: bool) -> Tuple[Tuple[str, str], ...]:
        """Return the URL and the name of each suite of a release, with or without its updates."""
        later = ((self.main, f"{release}-updates"), (self.security, f"{release}-security"))
        return ((self.main, release), *(later if updates else ()))

    def sources(self, release: str, *, updates: bool) -> str:
        """Return the text of sources.list for a release, with or without its updates."""
        lines = []
        for url, suite in self.suites(release, updates=updates):
            option = f" [arch={NATIVE}]" if suite in self.stale else ""
            lines.append(f"deb{option} {url} {suite} main\n")
        return "".join(lines)


def main_mirror() -> str:
    """Return the mirror of Debian alone. Raises LookupError when there is none."""
    found = os.environ.get(MAIN) or _first(_without_comments(_sources()), "debian")
    if not found:
        raise LookupError(f"apt's sources name no mirror of Debian; set {MAIN}")
    return found.rstrip("/")


def find() -> Mirrors:
    """Return the mirrors. Raises LookupError when there is none."""
    found = chosen(_sources(), os.environ)
    pairs = [pair for release in (RELEASE, NEXT) for pair in found.suites(release, updates=True)]
    return found._replace(stale=frozenset(suite for url, suite in pairs if not _is_whole(f"{url}/dists/{suite}")))


def _is_whole(url: str) -> bool:
    """Has the index of the foreign architecture the size that the suite's Release names?"""
    name = f"main/binary-{FOREIGN}/Packages.xz"
    with urlopen(f"{url}/InRelease", timeout=TIMEOUT) as answer:
        release = answer.read().decode("utf-8", "replace")
    with urlopen(Request(f"{url}/{name}", method="HEAD"), timeout=TIMEOUT) as answer:
        size = answer.headers["Content-Length"]
    named = re.search(rf"^ [0-9a-f]{{64}} +(\d+) {re.escape(name)}$", release, re.MULTILINE)
    return named is not None and named[1] == size


def chosen(text: str, environment: Mapping[str, str]) -> Mirrors:
    """Return the mirrors that the environment names, else those in the text of apt's sources."""
    lines = _without_comments(text)
    main = environment.get(MAIN) or _first(lines, "debian")
    security = environment.get(SECURITY) or _first(lines, "debian-security")
    if not main or not security:
        raise LookupError(f"apt's sources name no mirror of Debian and of its security updates; set {MAIN}, {SECURITY}")
    return Mirrors(main.rstrip("/"), security.rstrip("/"))


def _sources() -> str:
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    return "\n".join(
        file.read_text(encoding="utf-8") for file in files if file.is_file() and file.suffix in (".list", ".sources")
    )


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def _first(text: str, end: str) -> str:
    found: List[str] = re.findall(rf"https?://\S+/{end}/?(?=\s|$)", text)
    return found[0] if found else ""
