"""This machine must stay as it is: a fingerprint of its package database and of /etc, before and after."""

import hashlib
import os
from pathlib import Path
from typing import Dict

DATABASE = ("status", "diversions", "statoverride", "arch", "available")
TREES = ("/etc", "/var/lib/dpkg/alternatives", "/var/lib/dpkg/info", "/usr/sbin", "/usr/bin", "/boot")
OTHERS = ("/var/lib/apt/extended_states", "/var/cache/debconf/config.dat", "/var/lib/ucf/hashfile")


def fingerprint() -> Dict[str, str]:
    """Return a hash for each part: the content of the databases; names, sizes and times of the trees."""
    files = [*(f"/var/lib/dpkg/{name}" for name in DATABASE), *OTHERS]
    found = {name: hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in files if Path(name).is_file()}
    for top in TREES:
        digest = hashlib.sha256()
        for directory, _, names in sorted(os.walk(top)):
            for name in sorted(names):
                status = os.lstat(os.path.join(directory, name))
                line = f"{directory}/{name} {status.st_mode} {status.st_size} {status.st_mtime_ns}\n"
                digest.update(line.encode("utf-8", "surrogateescape"))
        found[top] = digest.hexdigest()
    return found
