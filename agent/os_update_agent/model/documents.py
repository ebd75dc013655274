"""How frozen values become stored JSON documents, and how stored documents become values again.

A document is a JSON object with the fields of one dataclass and the field "version". A `Kind` knows the dataclass, the
newest version and the upgrades from each version to the next one. These rules hold for every kind:

- A document without "version" has version 1. The first published agent wrote none.
- A document of an older version is upgraded while it is read. The stored text stays as it is.
- A document of a newer version is refused (`TooNew`). A field may have a new meaning there.
- A NamedTuple, and a dataclass with STORED_AS_ROW, is a list of its fields; those at the end that have their default
  are left out. Every other dataclass is an object.
- An unknown field of a known version is ignored. A missing field gets the default of the dataclass.
- A field of a wrong type makes the document unreadable (`Unreadable`). No message holds a value: values may be secret.

Raise a kind's version when a field changes its meaning, its type or its place, or when an older agent would do harm
without a new field. Add the upgrade to the kind in the same change.

Other files that the agent writes have no version, for these reasons: the notes in locks, `told-*`, the
worker's environment and `reboot-suggested.json` lie below /run, they are hints, and a reader takes what it cannot read
as absent; agent.conf and the files for apt and dnf have the format of their readers and are known by a mark; logs and
metrics are written for others and never read back.

These stored things have no version either:

- `deliveries.body` and `outbox.body` have Heat's format. The agent sends the stored text unchanged.
- The addresses (`deliveries.address`, `outbox.address`) are JSON that SQL compares as text. Their spelling must never
  change: with another one, a delivery would not supersede the older deliveries of its deployment.
- `ledger.reserve` has no content. Only its size counts.
- The rewritten copy in heat-config's directory has heat-config's format. heat-config's own programs read it.
- The file that dnf 5 replays has libdnf5's format. It is written for one transaction and read by libdnf5 alone.
"""

import dataclasses
import json
from typing import Any, Callable, Dict, FrozenSet, Generic, Mapping, Type, TypeVar

from os_update_agent.model.bounded_json import TooLarge, longer_than, read_json
from os_update_agent.model.field_types import Unreadable, called, fields_of, read_fields, stored

T = TypeVar("T")
VERSION = "version"
# A plan of 50,000 changes has 15 MiB.
DOCUMENT_LIMIT = 32 << 20

Upgrade = Callable[[Dict[str, Any]], Dict[str, Any]]


class TooNew(Unreadable):
    """The document has a newer version than this agent reads."""

    def __init__(self, version: int, newest: int) -> None:
        super().__init__(f"has version {version}; this os-update-agent reads versions up to {newest}")


@dataclasses.dataclass(frozen=True)
class Kind(Generic[T]):
    """One kind of document.

    Attributes:
        type: The dataclass whose fields the document holds.
        version: The version that this agent writes, and the newest one that it reads.
        upgrades: For each version n below ``version`` the function that makes the fields of version n + 1 of those of
            version n. It may change the dict that it gets.
        left_out: Fields that the document does not hold, because the row around it does.
    """

    type: Type[T]
    version: int = 1
    upgrades: Mapping[int, Upgrade] = dataclasses.field(default_factory=dict)
    left_out: FrozenSet[str] = frozenset()

    def to_json(self, value: T) -> Dict[str, Any]:
        """Return the document of the value as a JSON object."""
        fields = fields_of(self.type, self.left_out)
        return {VERSION: self.version, **{field.name: stored(getattr(value, field.name)) for field in fields}}

    def encode(self, value: T) -> str:
        """Return the document of the value as text. Raises Unreadable for a text that decode() would refuse."""
        text = json.dumps(self.to_json(value), separators=(",", ":"))
        if len(text) > DOCUMENT_LIMIT:
            raise Unreadable(longer_than(DOCUMENT_LIMIT, len(text)))
        return text

    def from_json(self, data: Any, **given: Any) -> T:
        """Return the value of a JSON object. ``given`` are the fields that are left out of the document.

        Raises:
            TooNew: A newer agent has written the document.
            Unreadable: The object has another shape.
        """
        return self.type(**given, **self._fields(data))

    def check(self, data: Any) -> None:
        """Raise TooNew or Unreadable unless the JSON object is a document of this kind."""
        self._fields(data)

    def _fields(self, data: Any) -> Dict[str, Any]:
        return read_fields(fields_of(self.type, self.left_out), self._upgraded(data))

    def decode(self, text: Any, **given: Any) -> T:
        """Return the value of a document's text. Raises TooNew, Unreadable."""
        return self.from_json(parsed(text), **given)

    def _upgraded(self, data: Any) -> Mapping[str, Any]:
        if not isinstance(data, dict):
            raise Unreadable(f"is {called(data)} and must be an object")
        version = data.get(VERSION, 1)
        if type(version) is not int or version < 1:
            raise Unreadable("has a version that is no whole number from 1 on")
        if version > self.version:
            raise TooNew(version, self.version)
        fields = data
        for number in range(version, self.version):
            try:
                fields = self.upgrades[number](dict(fields))
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise Unreadable(f"cannot be upgraded from version {number}: {type(error).__name__}") from error
        return fields


def parsed(text: Any) -> Any:
    """Return what a JSON text holds. Raises Unreadable for anything else, and for what is beyond a limit."""
    if not isinstance(text, str):
        raise Unreadable(f"is {called(text)} and must be JSON text")
    try:
        return read_json(text, DOCUMENT_LIMIT)
    except TooLarge as error:
        raise Unreadable(str(error)) from error
    except ValueError as error:
        # The message of JSONDecodeError holds a place and no part of the text.
        raise Unreadable(f"is not JSON: {error}") from error
