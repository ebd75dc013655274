"""Whether a deployment may use a key under which another deployment has a history. Pure.

A deployment is a resource of a stack. Heat delivers it again with each update, under another config id. Several may
share a key (``state_key``), and one may take the history of another over. They must select the same packages: under one
key a value stands for one state, so the second one would find its value reached and its packages untouched.
"""

from typing import NamedTuple, Optional, Sequence, Tuple

from os_update_agent.model.phases import UPDATE
from os_update_agent.model.policy import Policy


class Choice(NamedTuple):
    """The packages that a deployment selects."""

    select: str
    packages: Tuple[str, ...]
    exclude: Tuple[str, ...]

    def __str__(self) -> str:
        lists = [
            f"{name} {list(globs)}" for name, globs in (("packages", self.packages), ("exclude", self.exclude)) if globs
        ]
        return ", ".join([f"select {self.select}", *lists])


class Claim(NamedTuple):
    """A delivery that was carried out: the deployment as Heat addresses it, its value, and its choice.

    ``own`` is the part of the choice that the delivery itself gave, without agent.conf. It is None if an older agent
    stored the delivery.
    """

    deployment: str
    value: str
    choice: Choice
    own: Optional[Choice] = None


def choice_of(policy: Policy) -> Choice:
    """Return what the policy selects; the order of globs does not matter."""
    return Choice(policy.select, tuple(sorted(policy.packages)), tuple(sorted(policy.exclude)))


def claim_of(deployment: str, policy: Policy) -> Claim:
    """Return the claim of a delivery of the policy."""
    if policy.given is None:
        return Claim(deployment, policy.value, choice_of(policy))
    default = Policy()
    select, packages, exclude = (
        getattr(policy if name in policy.given else default, name) for name in ("select", "packages", "exclude")
    )
    return Claim(
        deployment,
        policy.value,
        choice_of(policy),
        choice_of(Policy(select=select, packages=packages, exclude=exclude)),
    )


def _agree(one: Claim, other: Claim) -> bool:
    """Return whether both select the same packages, or differ only because agent.conf changed in between."""
    return one.choice == other.choice or (one.own is not None and one.own == other.own)


def rival(mine: Claim, past: Sequence[Claim], do: str) -> Optional[Claim]:
    """Return the delivery of another deployment because of which this one is refused; None if it is not.

    ``past`` are the deliveries that were carried out under the key, the newest first; ``do`` is what this one would do.

    - The newest delivery counts. A deployment may change its own choice.
    - A deployment that is new under the key is refused if its choice differs.
    - A deployment with an older choice of its own may go back, and may get a value again that it has received before.
      It is refused if it would update, or if only the other deployment has received the value.
    """
    if not past or past[0].deployment == mine.deployment or _agree(past[0], mine):
        return None
    own = [claim for claim in past if claim.deployment == mine.deployment]
    if own and _agree(own[0], past[0]):
        return None
    is_known = any(claim.value == mine.value for claim in own)
    return None if own and do != UPDATE and (is_known or do != "nothing") else past[0]
