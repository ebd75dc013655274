"""The texts of edited configuration files in rebuilt packages.

dpkg takes the text in a package for the packaged one. If that were the edited text, a later update would replace it
without a word. So the packaged text goes into a rebuilt package, where it can be found: beside the file, or in another
kept version of the package. Otherwise the edited text goes in with an empty line more at its end, so that dpkg sees an
edit; settle_edits() takes that line away where it has come to the disk.
"""

import contextlib
import hashlib
import os
import stat
from pathlib import Path
from typing import Mapping, Optional, Sequence, Tuple

from os_update_agent.model.etc_files import PackagedText
from os_update_agent.node import process
from os_update_agent.packages.apt.builds import packed_content
from os_update_agent.packages.installed_files import on_disk

# Beside an edited file dpkg and ucf leave the packaged text of some version.
_BESIDE = (".dpkg-dist", ".dpkg-new", ".dpkg-old", ".ucf-dist", ".ucf-old")
# The control field that names the configuration files whose packaged text nobody knows.
EDITED_FIELD = "Edited-Conffiles"
_MARK = b"\n"


def with_packaged_texts(
    tree: Path, root: Path, texts: Mapping[str, PackagedText], kept: Sequence[Path]
) -> Tuple[str, ...]:
    """Put the packaged text in the place of each edited configuration file. Returns those whose packaged text is not
    known; they are marked as edited.
    """
    unknown = []
    for path, known in texts.items():
        target = tree / path.lstrip("/")
        if target.is_symlink() or not target.is_file():
            continue
        content = target.read_bytes()
        if _md5(content) == known.content:
            continue
        found = found_text(path, known.content, root, kept)
        if found is None:
            unknown.append(path)
        text = found if found is not None else content + _MARK
        status = target.stat()
        # The file is a hard link to the original.
        target.unlink()
        target.write_bytes(text)
        if os.geteuid() == 0:
            os.chown(target, status.st_uid, status.st_gid)
        target.chmod(stat.S_IMODE(status.st_mode))
    return tuple(unknown)


def found_text(path: str, known: str, root: Path, kept: Sequence[Path]) -> Optional[bytes]:
    """Return the text with the md5 that dpkg knows, from beside the file or from a kept package file."""
    place = root / path.lstrip("/")
    for suffix in _BESIDE:
        with contextlib.suppress(OSError):
            content = place.with_name(place.name + suffix).read_bytes()
            if _md5(content) == known:
                return content
    for file in kept:
        packed = packed_content(file, path)
        if packed is not None and _md5(packed) == known:
            return packed
    return None


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def settle_edits(files: Sequence[Path], root: Path) -> Tuple[str, ...]:
    """After rebuilt packages were installed, take away the marks that have come to the disk with them.

    Returns the configuration files whose packaged text is not known.
    """
    unknown = []
    for file in files:
        for path in process.run(["dpkg-deb", "--field", str(file), EDITED_FIELD]).stdout.split():
            unknown.append(path)
            marked = packed_content(file, path)
            for name in (path, f"{path}.dpkg-dist"):
                place = on_disk(root, name, follow=True)
                with contextlib.suppress(OSError):
                    if marked is None or place.read_bytes() != marked:
                        continue
                    if name == path:
                        os.truncate(place, len(marked) - len(_MARK))
                    else:
                        place.unlink()
    return tuple(unknown)
