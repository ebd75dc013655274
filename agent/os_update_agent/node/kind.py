"""Whether packages may be changed on this node: an image-based system gets its packages with its image, and those of an
application container are not the packages of its host.

Everything is read below the configured root. Facts are from systemd.offline-updates(7), container-interface of systemd,
bootc (composefs is the source of the root's mount), and magnum, whose heat-container-agent mounts the host's /etc,
/var/lib and /run/systemd into a privileged container.
"""

import os
import re
import shlex
from pathlib import Path
from typing import Iterator, List, Mapping, NamedTuple

from os_update_agent.config.bounded_files import RECORD_LIMIT, read_text

HOST = Path("/")

_IMAGE = "this node is an image-based system ({name}): its packages are changed with {way}, not by os-update-agent"
_OSTREE_WAYS = {"usr/bin/bootc": "'bootc upgrade'", "usr/bin/rpm-ostree": "'rpm-ostree upgrade'"}
# The names in os-release of systems without packages of their own, and what changes them.
_SYSTEMS: Mapping[str, str] = {
    "ubuntu-core": "'snap refresh'",
    "nixos": "'nixos-rebuild switch --upgrade'",
    "guix": "'guix system reconfigure'",
    "flatcar": "'update_engine_client -update'",
    "coreos": "'update_engine_client -update'",
    "cos": "a new image of the machine",
    "bottlerocket": "'apiclient update apply'",
    "talos": "'talosctl upgrade'",
    "steamos": "'steamos-update'",
    "vanilla": "'abroot upgrade'",
    "vyos": "'add system image'",
    **dict.fromkeys(
        ("opensuse-microos", "opensuse-leap-micro", "opensuse-aeon", "opensuse-kalpa", "sle-micro", "sl-micro"),
        "'transactional-update up'",
    ),
}
_TRANSACTIONAL = "usr/sbin/transactional-update"
# Directories that every package manager writes to.
_WRITTEN = ("", "usr", "etc")
# Where an operator has a read-only /usr made writable around each transaction (Securing Debian Manual, 4.10).
_HOOKS = ("etc/apt/apt.conf", "etc/apt/apt.conf.d/*", "etc/dnf/libdnf5-plugins/actions.d/*.actions")
_REMOUNTS = re.compile(r"^(?!\s*(?://|#)).*\bremount\b", re.MULTILINE)

_CONTAINER_MARKS = {".dockerenv": "docker", "run/.containerenv": "podman"}
# The layers of an application container: docker, podman and CRI-O, containerd.
_LAYERS = re.compile(r"dir=[^,]*/(docker|containers/storage|containerd)/")
# PID 1 of a machine or of a system container. s6-svscan and runsvdir are those of application containers, too.
_INITS = frozenset({"systemd", "init", "openrc-init", "runit", "dinit"})
# Mounted there by "podman run --init".
_CONTAINER_INIT = "/dev/init"


class _Mount(NamedTuple):
    point: str
    kind: str
    source: str
    options: str


def unsuitable(root: Path, proc: Path = Path("/proc")) -> str:
    """Return why no packages may be changed below the root, a sentence that names what to do instead; "" if they may.

    Changes nothing, starts nothing, and waits for no lock. Raises nothing.
    """
    mounts = {mount.point: mount for mount in _mounts(proc)}
    return (
        _as_container(root, proc, mounts)
        or _as_image(root, mounts)
        or _as_system(root)
        or _as_hidden(root, mounts)
        or _as_read_only(root)
    )


def _as_container(root: Path, proc: Path, mounts: Mapping[str, _Mount]) -> str:
    name = _container(root, proc, mounts)
    if not name:
        return ""
    return (
        f"{'os-update-agent runs in' if root == HOST else f'{root} is the root of'} an application container ({name}),"
        " whose packages are not those of its host: install os-update-agent and os-collect-config on the host"
    )


def _container(root: Path, proc: Path, mounts: Mapping[str, _Mount]) -> str:
    """Return the kind of the application container that the root belongs to; "" for a machine or a system container,
    which has an init of its own (LXC, systemd-nspawn --boot).
    """
    marked = next((name for mark, name in _CONTAINER_MARKS.items() if (root / mark).exists()), "")
    is_own = _is_same(proc / "1/root", root)
    if is_own:
        return "" if _is_init(proc) else marked or _named_by(proc) or _of_layers(root, mounts)
    if root != HOST:
        return marked
    # The processes of the host are seen, or those of a pod. A plain chroot in a container has its marks only by chance.
    return (marked if _is_init(proc) else "") or _of_layers(root, mounts)


def _is_same(path: Path, root: Path) -> bool:
    try:
        return os.path.samefile(path, root)
    except OSError:
        return False


def _is_init(proc: Path) -> bool:
    name, command = _read(proc / "1/comm").strip(), _read(proc / "1/cmdline").partition("\0")[0]
    return name in _INITS and command != _CONTAINER_INIT


def _named_by(proc: Path) -> str:
    """Return what the container manager has told PID 1."""
    variables = dict(line.partition("=")[::2] for line in _read(proc / "1/environ").split("\0"))
    return variables.get("container", "") or ("kubernetes" if "KUBERNETES_SERVICE_HOST" in variables else "")


def _of_layers(root: Path, mounts: Mapping[str, _Mount]) -> str:
    mount = mounts.get(str(root))
    found = _LAYERS.search(mount.options) if mount and mount.kind == "overlay" else None
    return found[1].partition("/")[0] if found else ""


def _as_image(root: Path, mounts: Mapping[str, _Mount]) -> str:
    mount = mounts.get(str(root))
    is_composefs = mount is not None and mount.source.startswith("composefs")
    if not is_composefs and not (root / "run/ostree-booted").exists():
        return ""
    ways = [way for path, way in _OSTREE_WAYS.items() if (root / path).exists()] or ["'ostree admin upgrade'"]
    name = "ostree" if (root / "run/ostree-booted").exists() else "bootc"
    return _IMAGE.format(name=name, way=f"{' or '.join(ways)} and a reboot")


def _as_system(root: Path) -> str:
    release = _os_release(root)
    name = release.get("ID", "")
    return _IMAGE.format(name=name, way=_SYSTEMS[name]) if name in _SYSTEMS else ""


def _os_release(root: Path) -> Mapping[str, str]:
    text = next(filter(None, (_read(root / path) for path in ("etc/os-release", "usr/lib/os-release"))), "")
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        try:
            found[name.strip()] = " ".join(shlex.split(value))
        except ValueError:
            continue
    return found


def _as_hidden(root: Path, mounts: Mapping[str, _Mount]) -> str:
    for directory, program in (("usr", "systemd-sysext"), ("etc", "systemd-confext")):
        mount = mounts.get(str(root / directory))
        if mount is not None and mount.source == program[len("systemd-") :]:
            return (
                f"system extensions are mounted over {root / directory}, so packages cannot be changed there:"
                f" '{program} unmerge' takes them away"
            )
    return ""


def _as_read_only(root: Path) -> str:
    place = next((root / name for name in _WRITTEN if _is_read_only(root / name)), None)
    if place is None or any(_REMOUNTS.search(_read(file)) for hook in _HOOKS for file in root.glob(hook)):
        return ""
    if (root / _TRANSACTIONAL).exists():
        return _IMAGE.format(name=f"{place} is mounted read-only", way="'transactional-update up' and a reboot")
    return (
        f"{place} is mounted read-only, so packages cannot be changed on this node: change them in the image that it is"
        " made from, or mount it writable"
    )


def _is_read_only(path: Path) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _mounts(proc: Path) -> Iterator[_Mount]:
    """Yield what is mounted; of several mounts over each other the last one is seen (proc(5))."""
    for line in _read(proc / "self/mountinfo").splitlines():
        # 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
        before, _, after = line.partition(" - ")
        fields: List[str] = before.split()
        last: List[str] = after.split()
        if len(fields) > 4 and len(last) > 2:
            yield _Mount(_plain(fields[4]), last[0], _plain(last[1]), last[2])


def _plain(text: str) -> str:
    """Blanks, for instance, are written as \\040."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _read(path: Path) -> str:
    """Return the text of a file; "" where it cannot be read."""
    try:
        return read_text(path, RECORD_LIMIT, errors="replace")
    except OSError:
        return ""
