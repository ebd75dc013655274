"""Puts the items of a layout under a root, or takes them away, and looks what is there. Twice is as good as once."""

import contextlib
import os
import stat
from pathlib import Path

from os_update_agent.install.layout import Directory, File, Item, Link, is_edited
from os_update_agent.model.errors import AgentError

# What may stand at an item's place.
MISSING, RIGHT, OTHER, EDITED = "missing", "right", "other", "edited"


def standing(root: Path, item: Item) -> str:
    """What is at the item's place: nothing, the item as it should be, an operator's version of it, or something else.
    Raises AgentError.
    """
    path = place(root, item)
    try:
        found = path.lstat()
        if isinstance(item, Link):
            is_right = stat.S_ISLNK(found.st_mode) and os.readlink(path) == item.target
        elif isinstance(item, Directory):
            # An operator may have closed it further.
            is_right = stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & ~item.mode
        elif not stat.S_ISREG(found.st_mode):
            is_right = False
        elif item.others_win:
            is_right = True
        elif item.is_config and is_edited(path.read_bytes()):
            return EDITED
        else:
            is_right = stat.S_IMODE(found.st_mode) == item.mode and path.read_bytes() == item.text.encode()
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        raise AgentError(f"{path} cannot be read: {error.strerror}") from error
    return RIGHT if is_right else OTHER


def is_foreign(root: Path, item: Item) -> bool:
    """Is what stands there of another kind than we ever put there: a file where a link of ours belongs, a directory, a
    link elsewhere?
    """
    path = place(root, item)
    if isinstance(item, Link):
        return not path.is_symlink() or Path(os.readlink(path)).name != Path(item.target).name
    if isinstance(item, Directory):
        return path.is_symlink() or not path.is_dir()
    return path.is_symlink() or not path.is_file()


def put(root: Path, item: Item) -> None:
    """Put the item at its place, in one step: a reader sees the old or the new. Raises AgentError."""
    path = place(root, item)
    staging = path.with_name(f".{path.name}.new")
    try:
        _make_parents(path)
        if isinstance(item, Directory):
            path.mkdir(mode=item.mode, exist_ok=True)
            path.chmod(item.mode)
            return
        staging.unlink(missing_ok=True)
        if isinstance(item, Link):
            staging.symlink_to(item.target)
        else:
            _write(staging, item)
        staging.replace(path)
    except OSError as error:
        raise AgentError(f"{path} cannot be written: {error.strerror}") from error


def take(root: Path, item: Item) -> None:
    """Take a file or link away. Raises AgentError."""
    path = place(root, item)
    try:
        path.unlink()
    except OSError as error:
        raise AgentError(f"{path} cannot be removed: {error.strerror}") from error


def place(root: Path, item: Item) -> Path:
    """Where the item lies below the root. Raises AgentError when a link on the way leads out of the root."""
    path = root / item.path.lstrip("/")
    real_root, real = os.path.realpath(root), os.path.realpath(path.parent)
    if os.path.commonpath((real_root, real)) != real_root:
        raise AgentError(
            f"{path.parent} leads to {real}, which is outside of {root}: run the command inside that root (chroot)"
        )
    return path


def _make_parents(path: Path) -> None:
    """The directories above the path that are not there yet, for everybody to read, whatever the caller's umask is."""
    missing = [parent for parent in path.parents if not parent.exists()]
    for parent in reversed(missing):
        with contextlib.suppress(FileExistsError):
            parent.mkdir(mode=0o755)
            parent.chmod(0o755)


def _write(path: Path, item: File) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(item.text.encode())
        os.fchmod(file.fileno(), item.mode)
        file.flush()
        os.fsync(file.fileno())
