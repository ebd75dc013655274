"""What Heat asks and what it is told: a deployment as it comes, the delivery as it is written down, the result on its
way.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, Mapping, NamedTuple, Optional, Tuple

# What has become of a result: still to be sent, accepted by Heat, refused by Heat for good, or overtaken by a newer
# delivery under the same name.
Standing = Literal["owed", "delivered", "refused", "superseded"]
# The actions of Heat for which packages may be touched.
ACTIVE_ACTIONS = ("CREATE", "UPDATE")
INACTIVE_ACTIONS = ("DELETE", "SUSPEND", "RESUME")


@dataclass(frozen=True)
class SignalTarget:
    """The target of one delivery's result. Everything in ``secret`` stays out of logs and is wiped after the delivery.

    ``created`` is when Heat made the delivery, by its own clock: the text of its ``creation_time``.
    """

    transport: str
    stack_id: str = ""
    resource_name: str = ""
    verb: str = "POST"
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    created: str = ""


@dataclass(frozen=True)
class Output:
    """An output that the SoftwareConfig declares."""

    name: str
    error_output: bool = False


class Deployment(NamedTuple):
    """One delivery: what heat-config gives a hook on its standard input, checked and typed.

    ``inputs`` are the values of everything that is not Heat's own (deploy_*); ``config`` and ``options`` are maps.
    """

    id: str
    name: str
    action: str
    stack_id: str
    resource_name: str
    server_id: str
    inputs: Mapping[str, Any] = {}
    config: Mapping[str, Any] = {}
    options: Mapping[str, Any] = {}
    outputs: Tuple[Output, ...] = ()
    signal: SignalTarget = SignalTarget("NO_SIGNAL")

    @property
    def key(self) -> str:
        """Whose history this delivery belongs to, unless ``state_key`` says otherwise: the resource of a stack, or a
        name outside of any stack.
        """
        place = f"{self.stack_id}/{self.resource_name}" if self.stack_id else self.name
        return f"{place}@{self.server_id}"


class Outcome(NamedTuple):
    """What a delivery came to: the truth that is told to Heat and to the operator."""

    status_code: int
    stdout: str = ""
    stderr: str = ""
    outputs: Mapping[str, Any] = {}


class Request(NamedTuple):
    """Whom to answer, and with which outputs."""

    signal: SignalTarget
    outputs: Tuple[Output, ...] = ()


class Delivery(NamedTuple):
    """One config id: what Heat, or an operator, asked, and the stored answer once there is one.

    ``policy`` is as Policy.as_json() made it; ``restore`` is a state that was asked for by hand whatever the table
    says. ``started`` is when a worker took it up; ``request`` is gone when it is answered.
    """

    config_id: str
    key: str
    value: str
    action: str
    received: float
    policy: Mapping[str, Any] = {}
    restore: Optional[int] = None
    started: Optional[float] = None
    finished: Optional[float] = None
    run: Optional[int] = None
    body: Optional[str] = None
    request: Optional[Request] = None


class OwedSignal(NamedTuple):
    """A result on its way to Heat; ``target`` holds secrets and is None once nothing is owed any more."""

    config_id: str
    body: str
    standing: Standing
    tries: int
    updated: float
    last_answer: str = ""
    target: Optional[SignalTarget] = None
