"""Signing packages with the key of the fixture ``keyring``."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Iterable


def sign(keyring: Path, files: Iterable[Path]) -> None:
    """Sign rpm files."""
    gpg = ["--define", "_gpg_name demo@example.org", "--define", f"__gpg {shutil.which('gpg')}"]
    environment = {**os.environ, "GNUPGHOME": str(keyring)}
    subprocess.run(["rpmsign", *gpg, "--addsign", *map(str, files)], check=True, capture_output=True, env=environment)
