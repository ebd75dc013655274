"""Builds the root: real packages of the release as it came out, downloaded once and kept in a cache."""

import shutil
from pathlib import Path

from real.mirrors import FOREIGN, NATIVE, RELEASE, Mirrors
from real.node import Node

PACKAGES = (
    # What a server has anyway.
    *("systemd-sysv", "systemd-timesyncd", "udev", "dbus", "libpam-systemd", "openssh-server", "cron", "logrotate"),
    *("rsyslog", "sudo", "locales", "man-db", "less", "vim-tiny", "tzdata", "ca-certificates", "openssl", "curl"),
    *("wget", "rsync", "file", "lsof", "gnupg", "ucf", "debconf-utils", "apt-utils", "apparmor", "e2fsprogs"),
    *("xz-utils", "zstd", "iproute2", "iputils-ping", "procps", "kmod", "netbase", "bsdextrautils"),
    *("python3", "python3-yaml", "python3-requests", "python3-apt", "nano"),
    # A web server, a database, PHP, a DNS server.
    *("nginx", "mariadb-server", "php-fpm", "php-cli", "php-mysql", "php-xml", "bind9", "bind9-dnsutils"),
    # A kernel, whose initramfs is built on the node.
    *("linux-image-cloud-amd64", "initramfs-tools"),
    # A foreign architecture; libc6 and zlib1g share files with their brothers.
    *(f"libc6:{FOREIGN}", f"zlib1g:{FOREIGN}"),
)
# invoke-rc.d asks it before it starts, stops or restarts anything: "not allowed".
POLICY = "#!/bin/sh\nexit 101\n"
# The agent's apt works from outside of this root: hooks of the root would run on this machine.
NO_HOOKS = "".join(
    f"#clear {name};\n"
    for name in (
        *("DPkg::Pre-Invoke", "DPkg::Post-Invoke", "DPkg::Post-Invoke-Success", "DPkg::Pre-Install-Pkgs"),
        *("APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success"),
    )
)


def build(node: Node, mirrors: Mirrors) -> None:
    """Make the root. Raises RuntimeError with the words of mmdebstrap if it fails."""
    cache = node.work / "cache"
    cache.mkdir(exist_ok=True)
    done = node.run(
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=important", f"--architectures={NATIVE},{FOREIGN}"),
        # Nothing that is built here has to survive a power cut.
        *(f"--include={','.join(PACKAGES)}", "--dpkgopt=force-unsafe-io"),
        *("--skip=download/empty", "--skip=essential/unlink"),
        '--setup-hook=mkdir -p "$1/var/cache/apt/archives"',
        f"--setup-hook=sync-in {cache} /var/cache/apt/archives",
        f"--customize-hook=sync-out /var/cache/apt/archives {cache}",
        *(RELEASE, str(node.root), *mirrors.sources(RELEASE, updates=False).splitlines()),
        network=True,
    )
    if done.status:
        raise RuntimeError(f"mmdebstrap ended with {done.status}:\n{done.stdout}{done.stderr}")
    (node.root / "etc/dpkg/dpkg.cfg.d/99mmdebstrap").unlink()
    policy = node.root / "usr/sbin/policy-rc.d"
    policy.write_text(POLICY, encoding="utf-8")
    policy.chmod(0o755)
    (node.root / "etc/apt/apt.conf.d/zz-no-hooks").write_text(NO_HOOKS, encoding="utf-8")
    # Names and addresses of this machine are not the node's.
    (node.root / "etc/resolv.conf").write_text("", encoding="utf-8")
    (node.root / "etc/hostname").write_text("node\n", encoding="utf-8")


def remove(directory: Path) -> None:
    """Remove what an earlier run has left. Raises OSError if something below is still mounted or cannot be removed."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = [place for place in mounted if place.startswith(f"{directory}/")]
    if below:
        raise OSError(f"still mounted: {', '.join(below)}")
    if directory.exists():
        shutil.rmtree(directory)
