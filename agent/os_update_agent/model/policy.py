"""A checked policy: every option of one deployment with its value, as it is stored with a delivery and with a run."""

from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Tuple

from os_update_agent.model.documents import VERSION, Kind
from os_update_agent.model.options import (
    ArchiveRule,
    ConfigFiles,
    EtcFilesRule,
    OnCreate,
    OnFailure,
    Operation,
    RebootRule,
    Removals,
    RestoreScope,
    Select,
    ServicesRule,
)


@dataclass(frozen=True)
class Policy:
    """The answer to every question that an update asks about what is wanted. The defaults are the built-in ones.

    ``value`` is the trigger's value as text ('' is: none given), ``key`` says whose history it belongs to. ``keep``
    counts states; ``forget_after`` is in days; ``lock_timeout``, ``deadline``, ``script_timeout`` (each step) and
    ``signal_timeout`` (all tries of one signal) are seconds.

    ``given`` names the options that the delivery itself gave, or the command line; the others had their values from
    agent.conf or the defaults. None: an older agent has stored the policy, and with it no origin.
    """

    value: str = ""
    key: str = ""
    operation: Operation = "update"
    select: Select = "all"
    packages: Tuple[str, ...] = ()
    exclude: Tuple[str, ...] = ()
    removals: Removals = "allow"
    config_files: ConfigFiles = "keep"
    etc_files: EtcFilesRule = "report"
    archive: ArchiveRule = "best-effort"
    keep: int = 5
    forget_after: Optional[float] = None
    restore: RestoreScope = "exact"
    on_create: OnCreate = "baseline"
    on_failure: OnFailure = "restore"
    reboot: RebootRule = "never"
    services: ServicesRule = "report"
    units: Tuple[str, ...] = ()
    lock_timeout: float = 600
    deadline: Optional[float] = None
    script_timeout: float = 600
    signal_timeout: float = 600
    # Two policies are equal if they ask for the same; an older agent that ignores this field does as it always did.
    given: Optional[Tuple[str, ...]] = field(default=None, compare=False)

    @property
    def is_restricted(self) -> bool:
        """Does the policy leave out a part of the updates that the node could have?"""
        return bool(self.packages or self.exclude or self.select == "security")

    def as_json(self) -> Dict[str, Any]:
        """Return the policy as a JSON object, which has a version."""
        return POLICY.to_json(self)

    def options(self) -> Dict[str, Any]:
        """Return the value, the key, and every option with its value, as JSON has it."""
        return {name: value for name, value in self.as_json().items() if name not in (VERSION, "given")}

    def own_options(self) -> Dict[str, Any]:
        """Return the options that the delivery itself gave, with their values, as JSON has them.

        Without ``given`` that is a guess. An option that has its default counts as not given: most deliveries give few
        options. Nobody can know whether the delivery asked for the default, such as select: all, in place of what
        agent.conf said. Any other value counts as given, although it may be from agent.conf at that time. Both
        mistakes end with the next delivery.
        """
        options = {name: value for name, value in self.options().items() if name not in ("value", "key")}
        if self.given is not None:
            return {name: value for name, value in options.items() if name in self.given}
        default = Policy(restore="changes" if self.is_restricted else "exact").options()
        return {name: value for name, value in options.items() if value != default[name]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Policy":
        """Return the policy of a JSON object. Raises Unreadable, TooNew."""
        return POLICY.from_json(data)


POLICY = Kind(Policy)
