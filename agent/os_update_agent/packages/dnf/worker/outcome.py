"""Comparing what dnf would do with what was asked for, the same for each dnf. Runs in the worker, Python 3.6."""

from typing import NamedTuple, Set

from os_update_agent.packages.dnf.protocol import Identity, Outcome, Refused


class Effects(NamedTuple):
    """The packages that a transaction installs, and those that it removes without a successor of the same identity."""

    comes: Set[Identity]
    goes: Set[Identity]

    def answer(self) -> Outcome:
        return Outcome(sorted(self.comes), sorted(self.goes))


def check_outcome(found: Effects, planned: Effects) -> None:
    """Raise Refused with the differences if dnf would do anything else than what was asked for."""
    if found != planned:
        differing = (found.comes ^ planned.comes) | (found.goes ^ planned.goes)
        raise Refused(
            "dnf would not do exactly what was planned: {}".format(
                ", ".join(" ".join(identity) for identity in sorted(differing))
            )
        )
