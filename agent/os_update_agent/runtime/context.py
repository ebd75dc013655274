"""What every sequence works with on this node: settings, ledger, clock, and the backend that a policy asks for."""

import contextlib
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional, Tuple

from os_update_agent.config.policy import Policy
from os_update_agent.config.settings import Settings
from os_update_agent.ledger import Ledger
from os_update_agent.model.errors import AgentError
from os_update_agent.node.boot import boot_id
from os_update_agent.node.locks import process_name, works_for_node_holder
from os_update_agent.node.permissions import OUR_NAME, close_directory, close_files, make_private
from os_update_agent.node.trusted_paths import Untrusted, check_paths, check_trusted

if TYPE_CHECKING:
    from os_update_agent.packages.archive import Archive
    from os_update_agent.packages.backend import Backend
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)


class Site(NamedTuple):
    """This node, as the sequences see it. ``clock`` gives seconds since the epoch, ``boot_id`` the name of this
    boot.
    """

    settings: Settings
    ledger: Ledger
    clock: Callable[[], float] = time.time
    boot_id: Callable[[], str] = boot_id

    def backend(self, policy: Policy) -> "Backend":
        """The package manager, under the policy. Raises AgentError, PackageError."""
        from os_update_agent.packages.implementations import backend_for  # late: most deliveries find nothing to do

        for directory in (self.settings.run, self.settings.work):
            make_private(directory)
        return backend_for(
            self.settings.backend,
            root=self.settings.root,
            archive=self.settings.archive,
            work=self.settings.work,
            lock_timeout=policy.lock_timeout,
            config_files=policy.config_files,
            value=policy.value,
        )

    def reboot_reasons(self, policy: Policy) -> Tuple[str, ...]:
        """Why the machine should be booted again, a sentence each: what is seen on the node, and what its package
        manager knows.
        """
        from os_update_agent.node.reboot import boot_time, reboot_reasons  # late: only what has changed packages asks

        names: Tuple[str, ...] = ()
        try:
            names = self.backend(policy).reboot_hints(boot_time()).installed
        except AgentError as error:
            log.warning(logged(reboot="unknown", why=error))
        return (
            *reboot_reasons(self.settings.root),
            *(f"package {name} was installed after the machine was started" for name in names),
        )

    def lock_holder(self, policy: Policy) -> Optional[str]:
        """Who holds a lock of the package manager just now, in words, where that is not a run of ours at work; only
        asks.
        """
        try:
            held = self.backend(policy).held()
        except AgentError as error:
            log.warning(logged(locks="unknown", why=error))
            return None
        if held is None or works_for_node_holder(held[1], self.settings.lock):
            return None
        path, pid = held
        return f"{process_name(pid)} (process {pid}) holds {path}"

    def run_log(self, number: int) -> str:
        return str(self.settings.log / f"{number:06d}.log")

    def archive(self, backend: "Backend") -> "Archive":
        from os_update_agent.packages.archive import Archive

        return Archive(self.settings.archive, self.ledger, backend)


def note_told(settings: Settings, config_id: str) -> None:
    """Heat has taken an answer that could not be stored. Noted outside of the state, whose disk may be what is full."""
    with contextlib.suppress(AgentError, OSError):
        # Not below a directory for which the delivery was refused.
        check_trusted(settings.run, is_trial=settings.is_trial)
        make_private(settings.run)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        os.close(os.open(_told(settings, config_id), flags, 0o600))


def trusted_certificate(settings: Settings) -> Optional[str]:
    """Return the option ca_certificate, None if another user may have written it."""
    try:
        if settings.source is not None:
            check_trusted(settings.source, is_trial=settings.is_trial, link=True)
    except Untrusted:
        return None
    return settings.ca_certificate


def was_told(settings: Settings, config_id: str) -> bool:
    return any(settings.run.glob("told-*")) and _told(settings, config_id).exists()


def _told(settings: Settings, config_id: str) -> Path:
    from hashlib import sha256  # late: most nodes never come here

    # The id comes from outside, so it never becomes a file name.
    return settings.run / f"told-{sha256(config_id.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _keep_private(settings: Settings) -> None:
    """Modes that somebody has widened are mended. Files are known by their names: an operator may have named a
    directory of others.
    """
    for directory in (settings.state, settings.archive, settings.log, settings.run):
        close_directory(directory, is_ours=OUR_NAME in directory.parts or directory == settings.archive)
    own = (
        *settings.state.glob("ledger.*"),
        *settings.log.glob("[0-9]*.log"),
        settings.worker_log,
        *settings.run.glob("told-*"),
    )
    close_files((*own, settings.lock, *settings.run.glob("*.lock"), *settings.run.glob("*.env")))


def open_site(settings: Settings, *, reading: bool = False) -> Site:
    """The node with its ledger. Raises LedgerError, Untrusted.

    ``reading``: nothing is going to be written down, so that a disk which takes no writes will do.
    """
    check_paths(settings)
    ledger = Ledger(settings.ledger, reading=reading)
    ledger.keep_reserve()
    _keep_private(settings)
    return Site(settings, ledger)
