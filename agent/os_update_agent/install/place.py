"""Writes or removes the items of a layout below a root, and compares them. Every step can be repeated."""

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Iterator, Optional

from os_update_agent.config.bounded_files import FILE_LIMIT
from os_update_agent.install.layout import Directory, File, Item, Link, Tree, is_edited
from os_update_agent.model.errors import AgentError

# How the file at an item's place compares with the item.
MISSING, RIGHT, OTHER, EDITED = "missing", "right", "other", "edited"


def standing(root: Path, item: Item) -> str:
    """Compare the item with the file at its place. Raises AgentError."""
    path = place(root, item)
    try:
        found = path.lstat()
        if isinstance(item, Link):
            is_right = stat.S_ISLNK(found.st_mode) and os.readlink(path) == item.target
        elif isinstance(item, Tree):
            is_right = stat.S_ISDIR(found.st_mode) and _holds(path, item)
        elif isinstance(item, Directory):
            # The operator may have restricted the mode further.
            is_right = stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & ~item.mode
        elif not stat.S_ISREG(found.st_mode):
            is_right = False
        elif item.others_win:
            is_right = True
        elif item.is_config and is_edited(_start(path)):
            return EDITED
        else:
            is_right = stat.S_IMODE(found.st_mode) == item.mode and _is_text(path, item.text.encode())
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        raise AgentError(f"{path} cannot be read: {error.strerror}") from error
    return RIGHT if is_right else OTHER


def _start(path: Path) -> bytes:
    """Return the beginning of a file; its length is not known."""
    with path.open("rb") as file:
        return file.read(FILE_LIMIT)


def _is_text(path: Path, text: bytes) -> bool:
    return path.stat().st_size == len(text) and path.read_bytes() == text


def is_foreign(root: Path, item: Item) -> bool:
    """Say whether the file at the item's place is of a kind that the agent never writes there."""
    path = place(root, item)
    if isinstance(item, Link):
        target = os.readlink(path) if path.is_symlink() else ""
        is_family = item.family != "" and target.startswith(item.family)
        return Path(target).name != Path(item.target).name and not is_family
    if isinstance(item, (Directory, Tree)):
        return path.is_symlink() or not path.is_dir()
    return path.is_symlink() or not path.is_file()


def put(root: Path, item: Item) -> None:
    """Write the item in one step, so that a reader sees the old one or the new one. Raises AgentError."""
    path = place(root, item)
    staging = path.with_name(f".{path.name}.new")
    try:
        _make_parents(path)
        if isinstance(item, Tree):
            _write_tree(path, item)
            return
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
    """Remove a file, link, or tree. Raises AgentError."""
    path = place(root, item)
    try:
        if isinstance(item, Tree):
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        raise AgentError(f"{path} cannot be removed: {error.strerror}") from error


def place(root: Path, item: Item) -> Path:
    """Return the path of the item below the root. Raises AgentError if a link in it leads out of the root."""
    path = root / item.path.lstrip("/")
    real_root, real = os.path.realpath(root), os.path.realpath(path.parent)
    if os.path.commonpath((real_root, real)) != real_root:
        raise AgentError(
            f"{path.parent} leads to {real}, which is outside of {root}: run the command inside that root (chroot)"
        )
    return path


def _make_parents(path: Path) -> None:
    """Make the missing parent directories, readable by all whatever the umask is."""
    missing = [parent for parent in path.parents if not parent.exists()]
    for parent in reversed(missing):
        with contextlib.suppress(FileExistsError):
            parent.mkdir(mode=0o755)
            parent.chmod(0o755)


def _holds(path: Path, tree: Tree) -> bool:
    """Say whether the directory holds the files of the tree, and nothing else that Python could import."""
    if set(files_below(path)) != set(tree.files):
        return False
    return all(
        _is_text(path / name, content)
        and stat.S_IMODE((path / name).stat().st_mode) == tree.mode(name)
        and not (path / name).is_symlink()
        for name, content in tree.files.items()
    )


def files_below(path: Path, *, leave_out: Optional[str] = None) -> Iterator[str]:
    """Yield the files of a directory of Python code, without caches and compiled extensions.

    ``leave_out`` is the name of directories that are not read.
    """
    for directory, names, files in os.walk(path):
        # A checkout also has directories of tools, such as .mypy_cache.
        names[:] = sorted(name for name in names if name not in ("__pycache__", leave_out) and name[0] != ".")
        for name in sorted(files):
            if not name.endswith((".pyc", ".so")):
                yield os.path.relpath(os.path.join(directory, name), path)


def _write_tree(path: Path, tree: Tree) -> None:
    """Write the tree beside its place, and exchange it for what is there."""
    staging = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        staging.chmod(0o755)
        for name, content in tree.files.items():
            file = staging / name
            _make_parents(file)
            file.write_bytes(content)
            file.chmod(tree.mode(name))
        damaged = staging.with_name(f"{staging.name}.old")
        with contextlib.suppress(FileNotFoundError):
            path.rename(damaged)
        staging.rename(path)
        shutil.rmtree(damaged, ignore_errors=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write(path: Path, item: File) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(item.text.encode())
        os.fchmod(file.fileno(), item.mode)
        file.flush()
        os.fsync(file.fileno())
