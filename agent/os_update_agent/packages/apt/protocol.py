"""The requests of the agent to apt's worker, and the worker's answers. Pure.

Both sides use this module. packages/worker/ sends and receives both as lines of JSON.
"""

from typing import Any, NamedTuple, Optional, Sequence, Tuple, Type

# (name, architecture, version)
Identity = Tuple[str, str, str]


class Update(NamedTuple):
    """A version that an installed package shall get. ``foreign`` is its architecture, "" if it is the native one."""

    name: str
    foreign: str
    version: str


# --- requests. ``pins`` are preferences files that count besides those of the node.


class Upgrade(NamedTuple):
    """Plan what ``apt-get dist-upgrade`` does, with its solver (APT::Solver). Answer: Upgraded."""

    pins: Tuple[str, ...]
    solver: str


class Attempt(NamedTuple):
    """Plan these updates (Update) and what they need, on top of ``base``. Answer: Attempted.

    ``exclude`` are globs (see packages/globs.py) of packages that get no other version.
    """

    pins: Tuple[str, ...]
    exclude: Tuple[str, ...]
    base: Tuple[Update, ...]
    updates: Tuple[Update, ...]


class Available(NamedTuple):
    """Look packages up in the repositories. Answer: for each of ``wanted`` an Offered, None if no repository has it."""

    wanted: Tuple[Identity, ...]


KINDS: Sequence[Type[Any]] = (Upgrade, Attempt, Available)


# --- answers


class Step(NamedTuple):
    """The change of one package: ``version`` None is a removal. ``arch`` is that of the version. ``origins`` are its
    repositories, in apt's words.
    """

    name: str
    foreign: str
    version: Optional[str]
    arch: str = ""
    origins: Sequence[str] = ()


class Kept(NamedTuple):
    """An installed package with a newer version that a plan leaves out, and why. ``may_try``: it may be possible to get
    the version when it is asked for by name.
    """

    step: Step
    reason: str
    may_try: bool


class Upgraded(NamedTuple):
    """The plan of apt for all packages. ``refused``: apt would not do it under ``-y`` ("" if it would)."""

    steps: Sequence[Step]
    kept: Sequence[Kept]
    refused: str


class Attempted(NamedTuple):
    """The plan for the updates, or why they are impossible: exactly for one update, in general for several. Then
    ``impossible`` has those that cannot be done with any of the others, with the reason, by name or name:architecture.
    """

    steps: Sequence[Step]
    refused: str
    impossible: Sequence[Tuple[str, str]] = ()


class Offered(NamedTuple):
    """A package of a repository: the bytes of its file, the bytes that it takes once installed, and the sha256 of the
    file ("" if the repository has another checksum).
    """

    size: int
    installed: int
    sha256: str
