"""Which updates dnf can do together for a selection, and the reason for each that it cannot. Runs in the worker."""

import configparser
import os
from typing import Any, List, Optional, Sequence

import dnf  # type: ignore
import dnf.goal  # type: ignore
import dnf.selector  # type: ignore
import dnf.subject  # type: ignore
import hawkey  # type: ignore

from os_update_agent.packages.dnf.protocol import Candidates, Coming, Planned
from os_update_agent.packages.dnf.worker import held_back
from os_update_agent.packages.dnf.worker.dnf4 import older
from os_update_agent.packages.dnf.worker.dnf4.dnf_base import fill, row, word
from os_update_agent.packages.dnf.worker.dnf4.modules import enabled_with, forget
from os_update_agent.packages.dnf.worker.held_back import Newer
from os_update_agent.packages.dnf.worker.identity import slot
from os_update_agent.packages.globs import first_match

_FORMS = [hawkey.FORM_NEVRA, hawkey.FORM_NEVR, hawkey.FORM_NEV, hawkey.FORM_NA, hawkey.FORM_NAME]


def candidates(base: Any, request: Candidates) -> Planned:
    fill(base, repositories=True)
    hidden = Hidden(base, request)
    _plan(base, request)
    while not request.removals and _hide_removers(base, request, hidden):
        base.reset(goal=True)
        forget(base)
        _plan(base, request)
    items = [item for item in base.transaction or () if item.action in dnf.transaction.FORWARD_ACTIONS]
    secure = older.of_security(base.sack.query().filterm(pkg=[item.pkg for item in items]))
    secured = {row(pkg) for pkg in secure}
    comes = [Coming(row(item.pkg), word(item.reason), item.pkg.repoid, row(item.pkg) in secured) for item in items]
    goes = [row(pkg) for pkg in base.transaction.remove_set] if base.transaction else []
    # Streams of modules that are not enabled are no updates.
    newer = base.sack.query(flags=hawkey.IGNORE_REGULAR_EXCLUDES).upgrades().latest()
    held = held_back.held_back(
        request,
        [Newer(pkg.name, pkg.arch, pkg) for pkg in newer],
        hidden,
        planned={coming.identity[0] for coming in comes},
        installed={pkg.name for pkg in base.sack.query().installed()},
        against=lambda pkg: _against(base, request, pkg),
        why=lambda pkg: _why(base, pkg),
    )
    return Planned(comes, goes, held, enabled_with(base, [item.pkg for item in items], row))


def _plan(base: Any, request: Candidates) -> None:
    """Solve without "best": what cannot be updated stays behind instead of failing the others, and is named later."""
    if request.security:
        older.select_security(base)
    names = _selected(base, request)
    if names is None:
        base.upgrade_all()
    elif names:
        installed = base.sack.query().installed().filterm(name=names)
        query = base.sack.query().filterm(name=names)
        query = query.union(base.sack.query().available().filterm(obsoletes=installed))
        query = older.selected(base, query)
        if query:
            query = query.union(base.sack.query().installed().latest().filter(name=[pkg.name for pkg in query]))
            selector = dnf.selector.Selector(base.sack)
            selector.set(pkg=query)
            base.goal.upgrade(select=selector)
    base.resolve(allow_erasing=False)


def _selected(base: Any, request: Candidates) -> Optional[List[str]]:
    """The installed names that the globs of "packages" mean; None is: all of them.

    One name has one version in all architectures: who asks for one of them asks for all.
    """
    if not request.packages:
        return None
    return sorted(
        {pkg.name for pkg in base.sack.query().installed() if first_match(pkg.name, pkg.arch, request.packages)}
    )


def _hide_removers(base: Any, request: Candidates, hidden: "Hidden") -> bool:
    """Hide the packages of the plan that obsolete an installed one for good. Were there any?"""
    places = (
        {slot(pkg.name, pkg.arch, request.native) for pkg in base.transaction.install_set}
        if base.transaction
        else set()
    )
    found = False
    for pkg in base.transaction.install_set if base.transaction else ():
        gone = [
            old.name
            for old in base.goal.obsoleted_by_package(pkg)
            if slot(old.name, old.arch, request.native) not in places
        ]
        if gone:
            hidden.remover(pkg, pkg.name, sorted(gone))
            found = True
    return found


class Hidden(held_back.Hidden):
    def __init__(self, base: Any, request: Candidates) -> None:
        super().__init__()
        self._base = base
        sack, exclude = base.sack, request.exclude
        if exclude:
            available = sack.query().available()
            self.hide([pkg for pkg in available if first_match(pkg.name, pkg.arch, exclude)])
            kept = [pkg for pkg in sack.query().installed() if first_match(pkg.name, pkg.arch, exclude)]
            if kept:
                sack.add_excludes(available.filter(obsoletes=kept))
        self._lock(_version_locks(base.conf))

    def hide(self, packages: Sequence[Any]) -> None:
        self._base.sack.add_excludes(self._base.sack.query().filterm(pkg=packages))

    def _lock(self, rules: Sequence[str]) -> None:
        """As the versionlock plugin does it: of a locked name only the locked version shows, of a name with ! only the
        others.
        """
        sack = self._base.sack
        locked, excluded = sack.query().filterm(empty=True), sack.query().filterm(empty=True)
        for rule in rules:
            for nevra in dnf.subject.Subject(rule.lstrip("!")).get_nevra_possibilities(forms=_FORMS):
                query = nevra.to_query(sack)
                if rule.startswith("!"):
                    excluded = excluded.union(query)
                else:
                    self.locked.add(nevra.name)
                    locked = locked.union(query)
                if query:
                    break
        if self.locked:
            excluded = excluded.union(sack.query().filterm(name__glob=list(self.locked)).difference(locked))
            excluded = excluded.union(sack.query().filterm(obsoletes=locked).difference(locked))
        excluded.filterm(reponame__neq=hawkey.SYSTEM_REPO_NAME)
        if excluded:
            self.locked |= {pkg.name for pkg in excluded}
            sack.add_excludes(excluded)


def _version_locks(conf: Any) -> List[str]:
    """The rules of the versionlock plugin, where the node has it enabled."""
    directory = os.path.join(conf.installroot, "etc/dnf/plugins")
    parser = configparser.ConfigParser()
    parser.read(os.path.join(directory, "versionlock.conf"))
    if not parser.getboolean("main", "enabled", fallback=True):
        return []
    path = parser.get("main", "locklist", fallback="/etc/dnf/plugins/versionlock.list")
    try:
        with open(os.path.join(conf.installroot, path.lstrip("/")), encoding="utf-8") as file:
            lines = [line.split("#")[0].strip() for line in file]
    except FileNotFoundError:
        return []
    return [line for line in lines if line]


def _against(base: Any, request: Candidates, pkg: Any) -> Optional[str]:
    """Return the setting of the node that leaves the package out; None if the solver does."""
    if not base.sack.query().filterm(pkg=[pkg]):
        return "excluded by the configuration of dnf (excludepkgs)"
    if request.security and not older.of_security(base.sack.query().filterm(pkg=[pkg])):
        return "not a security update (select: security)"
    return None


def _why(base: Any, pkg: Any) -> str:
    """What the solver says when it must install this very package."""
    goal = dnf.goal.Goal(base.sack)
    selector = dnf.selector.Selector(base.sack)
    selector.set(pkg=[pkg])
    goal.install(select=selector, optional=False)
    if goal.run(allow_uninstall=False, force_best=False, ignore_weak_deps=True):
        return "dnf keeps it back in favour of other updates"
    problems = goal.problem_rules()
    return "; ".join(" ".join(line.split()) for line in (problems[0] if problems else ())) or "dnf cannot install it"
