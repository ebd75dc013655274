"""The image of the tests, built once from this checkout by elements/build and kept: python -m image.build

It holds the agent, the test-element of heat-config-package-update (which must pass, or there is no image), another hook
of heat-agents, and nothing of this machine. OS_UPDATE_AGENT_IMAGE_RELEASE=bookworm makes it one of Debian 12, for all
tests of this folder.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, Mapping

from chain import install as chain

CHECKOUT = Path(__file__).resolve().parents[2]
ELEMENTS = CHECKOUT / "elements"
OURS = CHECKOUT / "tests/image/elements"
RELEASE = os.environ.get("OS_UPDATE_AGENT_IMAGE_RELEASE", "trixie")
# What the image is made of; the caches of the build are kept whatever changes here.
SOURCES = ("agent", "hooks", "elements", "setup.py", "tests/image/elements", "tests/image/build.py")
# A secret of whoever builds: it must be nowhere in the image.
CANARY = "dGhlLXNlY3JldC1vZi10aGUtYnVpbGRlcg"


@dataclass(frozen=True)
class Built:
    """An image: its root file system, the log of its build, and the sizes of its files before and after the element's
    install step.
    """

    root: Path
    log: Path
    before: Mapping[str, int]
    after: Mapping[str, int]


def work() -> Path:
    """Where the build and its caches lie; must not be on an overlay, because machines are booted from the root
    there.
    """
    return Path(os.environ.get("OS_UPDATE_AGENT_IMAGE_WORK") or CHECKOUT / ".test-venv/image").absolute()


def built() -> Built:
    """The image of this very checkout, built when it is not there. Raises AssertionError with the end of the log."""
    directory = work() / RELEASE
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a+", encoding="utf-8") as file:
        # One of several test processes builds; the others wait.
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        wanted = fingerprint()
        if file.read() != wanted:
            file.truncate(0)
            _build(directory)
            file.write(wanted)
    return Built(
        directory / "root",
        directory / "build.log",
        _sizes(directory / "measure-before"),
        _sizes(directory / "measure-after"),
    )


def fingerprint() -> str:
    """What the image would be made of now."""
    digest = hashlib.sha256()
    for path in _files():
        digest.update(f"{path.relative_to(CHECKOUT)} {path.stat().st_mode}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _files() -> Iterator[Path]:
    for name in SOURCES:
        path = CHECKOUT / name
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (
            file
            for file in found
            if file.is_file() and "__pycache__" not in file.parts and ".egg-info" not in str(file)
        )


def _build(directory: Path) -> None:
    tests = ELEMENTS / "heat-config-package-update/test-elements"
    environment: Dict[str, str] = {
        **os.environ,
        "ELEMENTS_PATH": f"{OURS}:{tests}",
        "DIB_MEASURE_DIRECTORY": str(directory),
        # A builder's own settings: none of them may be found in the image.
        "SECRET_OF_THE_BUILDER": CANARY,
    }
    options = ["-r", RELEASE, "-t", "tar", "-w", str(work()), "-o", str(directory / "image")]
    argv = [str(ELEMENTS / "build"), *options, "hook-works", "measure", "heat-config-script"]
    # The tests of the chain have unpacked the same release; it is not fetched twice.
    release = chain.scripts(chain.directory()).parent
    if release.is_dir() and not (work() / release.name).exists():
        shutil.copytree(release, work() / release.name)
    with (directory / "build.log").open("wb") as log:
        done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    text = (directory / "build.log").read_text(encoding="utf-8", errors="replace")
    assert done.returncode == 0, f"elements/build ended with {done.returncode}:\n{text[-6000:]}"
    staging = Path(tempfile.mkdtemp(prefix="root-", dir=directory))
    staging.chmod(0o755)
    subprocess.run(["tar", "-C", str(staging), "--numeric-owner", "-xpf", str(directory / "image.tar")], check=True)
    # diskimage-builder leaves these two out of its archive.
    for name in ("proc", "sys"):
        (staging / name).mkdir(exist_ok=True)
    shutil.rmtree(directory / "root", ignore_errors=True)
    staging.rename(directory / "root")
    (directory / "image.tar").unlink()


def _sizes(file: Path) -> Dict[str, int]:
    lines = [line.partition(" ") for line in file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()]
    return {path: int(size) for size, _, path in lines}


if __name__ == "__main__":
    print(built().root)
