"""Prints what a leg has done, to the terminal and to a file."""

from collections import Counter
from pathlib import Path
from typing import Dict, FrozenSet, List, Mapping, Tuple

from real import settings
from real.allowed import judge
from real.content import DELETED, EDITS
from real.legs import Arrival, Checkpoint, lost_edits
from real.tree import compare, told


class Report:
    """Lines for the terminal and for a file. ``faults`` counts what is not as it has to be."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._file.write_text("", encoding="utf-8")
        self.faults = 0

    def say(self, *lines: str) -> None:
        """Print the lines, and keep them in the file."""
        with self._file.open("a", encoding="utf-8") as file:
            for line in lines:
                print(line, flush=True)
                print(line, file=file)

    def fault(self, *lines: str) -> None:
        """Print the lines as one fault."""
        self.faults += 1
        self.say(*lines)

    def arrival(self, arrival: Arrival) -> None:
        """Say how the agent ended, and which edits are kept."""
        leg = arrival.leg
        network = "without network" if leg.is_back else "with network"
        self.say("", f"== {leg.verb} {leg.value}: {arrival.changed} packages in {arrival.seconds:.0f} s, {network}")
        document = arrival.answer.document
        self.say(*_indented(str(document.get("stdout", ""))))
        if arrival.answer.done.status:
            self.fault(f"  FAULT the agent ended with {arrival.answer.done.status}")
            # The end of the log follows an empty line; it is in logs/agent.
            said = str(document.get("stderr", "")) or arrival.answer.done.stderr
            self.say(*_indented(said.partition("\n\n")[0]))
        lost = lost_edits(arrival.checkpoint)
        total = len(EDITS) + len(DELETED)
        self.say(f"  edited or deleted configuration files kept: {total - len(lost)} of {total}")
        for path in lost:
            self.say(f"    not kept: {path}")

    def comparison(self, before: Checkpoint, after: Checkpoint, owners: Tuple[Mapping[str, str], ...]) -> None:
        """Print every difference between the node before and after there-and-back."""
        self._settings(before.settings, after.settings)
        self._programs(before.programs, after.programs)
        lost = sorted(path for path in before.edits if before.edits[path] != after.edits[path])
        self._equal("edited and deleted configuration files", lost)
        judged = judge(compare(before.tree, after.tree))
        unexpected = [one.difference for one in judged if one.reason is None]
        paths = len({*before.tree, *after.tree})
        self.say(f"  {paths} paths compared: {len(unexpected)} unexpected and {len(judged) - len(unexpected)} allowed")
        self.faults += len(unexpected)
        for difference in unexpected:
            by = next((known[difference.path] for known in owners if difference.path in known), "no package")
            self.say(f"    UNEXPECTED {difference.path}: {told(difference)} [{by}]")
        for reason, count in Counter(one.reason for one in judged if one.reason).items():
            self.say(f"    allowed, {reason}: {count}")
            self.say(
                *(f"      {one.difference.path}: {told(one.difference)}" for one in judged if one.reason == reason)
            )

    def _settings(self, before: settings.Settings, after: settings.Settings) -> None:
        for name, old in before.items():
            self._equal(name, _changes(old, after[name]))

    def _programs(self, before: Mapping[str, settings.Program], after: Mapping[str, settings.Program]) -> None:
        different: List[str] = []
        for name in before:
            if before[name] != after[name]:
                different.append(f"{name}: {before[name]} before, {after[name]} after")
        self._equal("programs of the node", different)

    def _equal(self, what: str, differences: List[str]) -> None:
        self.say(f"  {what} equal: {'NO' if differences else 'yes'}")
        for one in differences:
            self.fault(f"    UNEXPECTED {one}")

    def programs(self, programs: Mapping[str, settings.Program]) -> None:
        """Print how each program of the node answers."""
        for name, program in programs.items():
            first = (program.said.splitlines() or [""])[0]
            self.say(f"  {name}: status {program.status}, {first}")

    def machine(self, before: Dict[str, str], after: Dict[str, str]) -> None:
        """Say whether this machine is as it was."""
        changed = sorted(name for name in before if before[name] != after.get(name))
        self.say("", f"this machine is as it was: {'NO' if changed else 'yes'}")
        for name in changed:
            self.fault(f"  FAULT this machine has changed: {name}")


def _changes(old: FrozenSet[str], new: FrozenSet[str]) -> List[str]:
    return sorted([*(f"{line} (before)" for line in old - new), *(f"{line} (after)" for line in new - old)])


def _indented(text: str) -> List[str]:
    return [f"  | {line}" for line in text.splitlines()]
