"""A private root with a repository, for each package manager."""

import shutil
from pathlib import Path
from typing import List, Mapping, Sequence, Type

from os_update_agent.model.errors import AgentError
from os_update_agent.model.options import BackendName
from os_update_agent.model.packages import Aftercare, Package, PackageState, Transaction
from os_update_agent.packages.backend import Backend
from os_update_agent.packages.implementations import backend_for
from os_update_agent.testing import repository, rpm_repository
from os_update_agent.testing.pkg import Pkg


class Stage:
    """The root ``directory/root`` and the repository ``directory/repository``."""

    # The backend's name in agent.conf, its programs in words, and how to get them.
    backend_name: BackendName
    tools: str
    needs: str
    needs_root = False

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.work = directory / "work"
        self.work.mkdir(mode=0o700)
        self.prepare(directory / "repository")
        self.backend: Backend = backend_for(
            self.backend_name, root=self.root, archive=self.work, work=self.work, lock_timeout=60.0, config_files="keep"
        )

    @staticmethod
    def missing_tools() -> List[str]:
        """Return the programs that are needed and not installed."""
        raise NotImplementedError

    def prepare(self, directory: Path) -> None:
        """Make the repository in the directory, and a root that uses it."""
        raise NotImplementedError

    def publish(self, pkgs: Sequence[Pkg]) -> None:
        """Add packages to the repository."""
        raise NotImplementedError

    def withdraw(self, pkgs: Sequence[Pkg]) -> None:
        """Remove packages from the repository."""
        raise NotImplementedError

    def package(self, pkg: Pkg) -> Package:
        raise NotImplementedError

    def build(self, pkgs: Sequence[Pkg]) -> List[Path]:
        """Build the packages below ``work``. Returns their files in the same order."""
        raise NotImplementedError

    def hold(self, pkg: Pkg) -> None:
        """Hold a package at its version, as an operator would."""
        raise NotImplementedError

    def install(self, pkgs: Sequence[Pkg], auto: Sequence[str]) -> None:
        """Install packages without the repository; those named in ``auto`` count as dependencies. Raises AgentError."""
        install = tuple(self.package(pkg)._replace(mark="auto" if pkg.name in auto else "manual") for pkg in pkgs)
        files = tuple(map(str, self.build(pkgs)))
        with self.backend.session(), (self.work / "install.log").open("wb") as output:
            complaints = self.backend.transact(Transaction(install=install, files=files), output, forced=False)
            if not complaints:
                automatic = tuple(package for package in self.state().packages if package.name in auto)
                complaints = self.backend.finish(Aftercare(marks={"auto": automatic}), output)
            if complaints:
                raise AgentError(f"the demo's packages cannot be installed: {'; '.join(complaints)}")

    def state(self) -> PackageState:
        return self.backend.capture()


class AptStage(Stage):
    """apt and dpkg, as any user."""

    backend_name = "apt"
    tools = "apt-get and dpkg"
    needs = "it works on Debian, Ubuntu and their kin"

    @staticmethod
    def missing_tools() -> List[str]:
        return repository.missing_tools()

    def prepare(self, directory: Path) -> None:
        self.repository = repository.Repository(directory)
        repository.make_root(self.root, sources=[self.repository.source_line()])

    def publish(self, pkgs: Sequence[Pkg]) -> None:
        self.repository.add(*map(repository.as_deb, pkgs))
        self.repository.publish()

    def withdraw(self, pkgs: Sequence[Pkg]) -> None:
        for pkg in pkgs:
            self.repository.remove(pkg.name, pkg.evr)
        self.repository.publish()

    def package(self, pkg: Pkg) -> Package:
        return Package(pkg.name, repository.native_architecture(), pkg.evr)

    def build(self, pkgs: Sequence[Pkg]) -> List[Path]:
        return [repository.build(repository.as_deb(pkg), self.work) for pkg in pkgs]

    def hold(self, pkg: Pkg) -> None:
        held = tuple(package._replace(want="hold") for package in self.state().packages if package.name == pkg.name)
        with (self.work / "install.log").open("ab") as output:
            self.backend.finish(Aftercare(holds=held), output)


class RpmStage(Stage):
    """dnf and rpm, as root: rpm enters the root with chroot(2)."""

    backend_name = "dnf"
    tools = "dnf and rpm"
    needs_root = True
    needs = "dnf install rpm-build createrepo_c, where the node is of the Fedora family"

    @staticmethod
    def missing_tools() -> List[str]:
        return rpm_repository.missing_tools()

    def prepare(self, directory: Path) -> None:
        self.repository = rpm_repository.Repository(directory)
        rpm_repository.make_root(self.root, repositories=[self.repository.section()])

    def publish(self, pkgs: Sequence[Pkg]) -> None:
        self.repository.add(*map(rpm_repository.as_rpm, pkgs))
        self.repository.publish()

    def withdraw(self, pkgs: Sequence[Pkg]) -> None:
        self.repository.remove(*map(rpm_repository.as_rpm, pkgs))
        self.repository.publish()

    def package(self, pkg: Pkg) -> Package:
        return Package(pkg.name, rpm_repository.native_architecture(), pkg.evr)

    def build(self, pkgs: Sequence[Pkg]) -> List[Path]:
        rpms = [rpm_repository.as_rpm(pkg) for pkg in pkgs]
        rpm_repository.build(rpms, self.work)
        return [self.work / rpm.file for rpm in rpms]

    def hold(self, pkg: Pkg) -> None:
        """Lock the package as `dnf versionlock add` does."""
        locks = self.root / "etc/dnf/plugins/versionlock.list"
        locks.parent.mkdir(parents=True, exist_ok=True)
        locks.write_text(f"{pkg.name}-{pkg.epoch or 0}:{pkg.version}-1.*\n", encoding="utf-8")


STAGES: Mapping[str, Type[Stage]] = {"apt": AptStage, "dnf": RpmStage}


def chosen(name: str) -> str:
    """Return the name of a stage; "auto" means apt if there is apt-get, else dnf."""
    if name != "auto":
        return name
    return "apt" if shutil.which("apt-get") or not shutil.which("rpm") else "dnf"
