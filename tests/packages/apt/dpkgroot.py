"""A private root in which dpkg alone works, and the packages that are built for it."""

import subprocess
from pathlib import Path
from typing import Dict

from os_update_agent.model.packages import Package
from os_update_agent.packages.apt.repack import repack

FORMAT = "${Package} ${Architecture} ${Version} ${db:Status-Status}${Conffiles}\\n"


def call(*argv: str, ok: bool = True) -> str:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=120, check=False
    )
    assert (done.returncode == 0) == ok, f"{argv} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


class Root:
    """A private root in which dpkg works, and the packages that are built for it."""

    def __init__(self, base: Path) -> None:
        self.base, self.path, self.out = base, base / "root", base / "out"
        self.out.mkdir()
        admin = self.path / "var/lib/dpkg"
        for name in ("updates", "info", "triggers"):
            (admin / name).mkdir(parents=True)
        (admin / "status").touch()
        self.arch = call("dpkg", "--print-architecture").strip()

    def build(
        self, name: str, version: str, files: Dict[str, str], *, arch: str = "all", extra: str = "", **control: str
    ) -> Path:
        """A package of files (a text that begins with -> is a link) and of control files."""
        tree = self.base / f"build-{name}-{version.replace(':', '_')}"
        for path, text in files.items():
            target = tree / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if text.startswith("->"):
                target.symlink_to(text[2:])
            else:
                target.write_text(text, encoding="utf-8")
        (tree / "DEBIAN").mkdir(parents=True)
        record = (
            f"Package: {name}\nVersion: {version}\nArchitecture: {arch}\nMaintainer: Lab <lab@example.org>\n{extra}"
        )
        (tree / "DEBIAN/control").write_text(
            f"{record}Description: {name} of the lab\n with a long\n .\n description\n", encoding="utf-8"
        )
        for control_name, text in control.items():
            (tree / "DEBIAN" / control_name).write_text(text, encoding="utf-8")
            (tree / "DEBIAN" / control_name).chmod(0o755 if text.startswith("#!") else 0o644)
        deb = self.base / f"{name}.deb"
        call("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(tree), str(deb))
        return deb

    def dpkg(self, *arguments: str) -> None:
        forces = [f"--force-{name}" for name in ("not-root", "script-chrootless", "bad-path", "downgrade", "confold")]
        call("dpkg", f"--root={self.path}", *forces, "--log=/dev/null", *arguments)

    def install(self, deb: Path) -> None:
        self.dpkg("--install", str(deb))

    def repack(self, name: str, version: str, arch: str = "all") -> Path:
        return repack(Package(name, arch, version), self.path, self.out)

    def record(self, name: str) -> str:
        return call("dpkg-query", f"--admindir={self.path}/var/lib/dpkg", "-W", "-f", FORMAT, name)

    def text(self, path: str) -> str:
        return (self.path / path.lstrip("/")).read_text(encoding="utf-8")
