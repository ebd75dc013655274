"""The test-elements as diskimage-builder runs its own: its tests/run_functests.sh, unchanged. python -m image.functests

Not part of tests/run: the image of the other tests holds the same test-element, and one more build takes two minutes.
The script is only in diskimage-builder's source archive, and looks only among diskimage-builder's own elements; so ours
are linked into an installation of it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict

from image.build import ELEMENTS, RELEASE, built, work
from image.kernels import mirrors

TESTS = ("heat-config-package-update/hook-works",)
LINKED = (ELEMENTS / "os-config-agents", ELEMENTS / "heat-config-package-update")


def main() -> None:
    # For the wheels, which its build has fetched.
    built()
    scratch = Path(tempfile.mkdtemp(prefix="functests-", dir=work()))
    try:
        script = prepare(scratch)
        environment = _environment(scratch)
        argv = ["bash", str(script), "-L", str(scratch / "logs"), *TESTS]
        done = subprocess.run(
            argv, cwd=scratch, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        passed = [line for line in done.stdout.splitlines() if line.startswith("PASS: ")]
        if done.returncode != 0 or len(passed) != len(TESTS):
            logs = "".join(
                path.read_text(encoding="utf-8", errors="replace")[-6000:] for path in (scratch / "logs").glob("*.log")
            )
            sys.exit(f"{logs}\n{done.stdout[-3000:]}")
        print("\n".join(passed))
    finally:
        shutil.rmtree(scratch)


def prepare(scratch: Path) -> Path:
    """Install diskimage-builder below the directory, with our elements among its own; the path of its script."""
    pip = [str(scratch / "venv/bin/python"), "-m", "pip", "--disable-pip-version-check"]
    pinned = next(
        line for line in (ELEMENTS / "versions.txt").read_text().splitlines() if line.startswith("diskimage-builder==")
    )
    subprocess.run([sys.executable, "-m", "venv", str(scratch / "venv")], check=True)
    subprocess.run([*pip, "install", "-q", pinned], check=True)
    subprocess.run(
        [*pip, "download", "-q", "--no-deps", "--no-binary", "diskimage-builder", "-d", str(scratch), pinned],
        check=True,
    )
    archive = next(scratch.glob("diskimage*.tar.gz"))
    subprocess.run(["tar", "-C", str(scratch), "--no-same-owner", "-xf", str(archive)], check=True)
    theirs = next((scratch / "venv/lib").glob("python3*/site-packages/diskimage_builder/elements"))
    for element in (*LINKED, next(work().glob("heat_agents-*/heat-config"))):
        (theirs / element.name).symlink_to(element)
    return next(scratch.glob("diskimage*/tests/run_functests.sh"))


def _environment(scratch: Path) -> Dict[str, str]:
    """Nothing of ours but where things are; the release is the test-element's own."""
    found = mirrors()
    return {
        **{
            "PATH": f"{scratch / 'venv/bin'}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(scratch),
            "USER": os.environ.get("USER", "root"),
        },
        **{"DIB_DISTRIBUTION_MIRROR": found.main, "DIB_DEBIAN_SECURITY_MIRROR": found.security, "DIB_RELEASE": RELEASE},
        **{"DIB_IMAGE_CACHE": str(work() / "cache"), "TMP_DIR": str(scratch), "TERM": "dumb"},
        "DIB_OS_CONFIG_AGENTS_WHEELS": str(work() / f"wheels-{RELEASE}"),
    }


if __name__ == "__main__":
    main()
