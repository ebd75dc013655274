"""Checks that a stored value has the type that a field of a dataclass or a column of a row must have.

JSON has fewer types than Python: a tuple is stored as a list, an Enum as its value. SQLite checks no type at all: a
column may hold text, numbers, binary data or NULL, whatever it is declared as.
"""

import dataclasses
from enum import Enum
from functools import cache
from typing import (
    Any,
    Callable,
    Dict,
    FrozenSet,
    List,
    Literal,
    Mapping,
    NamedTuple,
    Sequence,
    Tuple,
    Type,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

T = TypeVar("T")
# SQLite holds no larger whole number.
_LARGEST = 2**63 - 1

Reader = Callable[[Any], Any]


class Unreadable(ValueError):
    """The document or the row has not the shape that it must have; the text says where, and holds no value."""


def row_of(kind: Type[T], row: Sequence[Any]) -> T:
    """Return the dataclass or NamedTuple whose first fields are the columns of the row. Raises Unreadable."""
    return kind(**read_fields(fields_of(kind), dict(zip((one.name for one in fields_of(kind)), row))))


def checked(kind: Any, value: Any, what: str) -> Any:
    """Return a column's value if it has the type. ``what`` names the column. Raises Unreadable."""
    return _read_field(what, _reader(kind), value)


def stored(value: Any) -> Any:
    """Return the value of a field as JSON holds it."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if _is_row(kind):
        return _row(value)
    if dataclasses.is_dataclass(value):
        return {field.name: stored(getattr(value, field.name)) for field in fields_of(kind)}
    if isinstance(value, Mapping):
        return {name: stored(one) for name, one in value.items()}
    if isinstance(value, Enum):
        return value.value
    return [stored(one) for one in value]


_PLAIN = frozenset({str, int, float, bool, type(None)})


def _row(value: Any) -> List[Any]:
    fields = fields_of(type(value))
    length = len(fields)
    while not fields[length - 1].is_required and getattr(value, fields[length - 1].name) == fields[length - 1].default:
        length -= 1
    return [stored(getattr(value, field.name)) for field in fields[:length]]


class _Field(NamedTuple):
    name: str
    read: Reader
    is_required: bool
    default: Any = None


def fields_of(kind: Any, left_out: FrozenSet[str] = frozenset()) -> Tuple[_Field, ...]:
    """Return the fields of a dataclass or a NamedTuple, without those that are left out."""
    return _fields_of(kind, left_out)


@cache
def _fields_of(kind: Any, left_out: FrozenSet[str]) -> Tuple[_Field, ...]:
    return tuple(field for field in _all_fields_of(kind) if field.name not in left_out)


def _all_fields_of(kind: Any) -> Tuple[_Field, ...]:
    types = get_type_hints(kind)
    if not dataclasses.is_dataclass(kind):
        defaults = kind._field_defaults
        return tuple(
            _Field(name, _reader(types[name]), name not in defaults, defaults.get(name)) for name in kind._fields
        )
    return tuple(
        _Field(
            field.name,
            _reader(types[field.name]),
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
            field.default,
        )
        for field in dataclasses.fields(kind)
    )


def read_fields(fields: Sequence[_Field], data: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the checked values of the fields that are there. Raises Unreadable."""
    found: Dict[str, Any] = {}
    name = ""
    try:
        for name, read, is_required, _ in fields:
            if name in data:
                found[name] = read(data[name])
            elif is_required:
                raise Unreadable("is missing")
    except Unreadable as error:
        raise Unreadable(f"{name} {error}") from error
    return found


def _read_field(name: str, read: Reader, value: Any) -> Any:
    try:
        return read(value)
    except Unreadable as error:
        raise Unreadable(f"{name} {error}") from error


@cache
def _reader(kind: Any) -> Reader:
    """Return the function that checks a JSON value and makes the field's value of it.

    Raises TypeError for a type that a stored field cannot have.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _READERS:
        return _READERS[kind]
    if origin is Union:
        return _optional(arguments)
    if origin is Literal:
        return _one_of(arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is ...:
        return _list_of(_reader(arguments[0]))
    if origin is not None and issubclass(origin, Mapping):
        return _map_of(_reader(arguments[1]))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _member_of(kind)
    if _is_row(kind):
        return _row_of(kind)
    if dataclasses.is_dataclass(kind):
        return _object_of(kind)
    raise TypeError(f"a stored field cannot have the type {kind}")


def called(value: Any) -> str:
    """Return the JSON type of the value in words."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "null" if value is None else "binary data")


def _wrong(value: Any, wanted: str) -> Unreadable:
    return Unreadable(f"is {called(value)} and must be {wanted}")


def _text(value: Any) -> str:
    if type(value) is not str:
        raise _wrong(value, "text")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or not -_LARGEST <= value <= _LARGEST:
        raise _wrong(value, "a whole number of at most 64 bits")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= _LARGEST:
        raise _wrong(value, "a number")
    return value  # type: ignore[no-any-return]


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise _wrong(value, "true or false")
    return value


def _bytes(value: Any) -> bytes:
    if type(value) is not bytes:
        raise _wrong(value, "binary data")
    return value


_READERS: Dict[Any, Reader] = {
    Any: lambda value: value,
    str: _text,
    int: _whole,
    float: _number,
    bool: _flag,
    bytes: _bytes,
}


def _optional(kinds: Sequence[Any]) -> Reader:
    (kind,) = (kind for kind in kinds if kind is not type(None))
    read = _reader(kind)
    return lambda value: None if value is None else read(value)


def _one_of(words: Sequence[Any]) -> Reader:
    known = frozenset(words)

    def read(value: Any) -> Any:
        if type(value) is not str or value not in known:
            raise _wrong(value, f"one of {', '.join(map(str, words))}")
        return value

    return read


def _member_of(kind: Type[Enum]) -> Reader:
    known = {member.value: member for member in kind}
    check = _one_of(tuple(known))
    return lambda value: known[check(value)]


def _list_of(read: Reader) -> Reader:
    def read_all(value: Any) -> Tuple[Any, ...]:
        if type(value) not in (list, tuple):
            raise _wrong(value, "a list")
        return tuple([_read_field(f"item {number}", read, one) for number, one in enumerate(value, 1)])

    return read_all


def _map_of(read: Reader) -> Reader:
    def read_all(value: Any) -> Dict[str, Any]:
        if type(value) is not dict:
            raise _wrong(value, "an object")
        return {name: _read_field(repr(name), read, one) for name, one in value.items()}

    return read_all


def _is_row(kind: Any) -> bool:
    """Return whether values of the class are stored as lists: NamedTuples, and dataclasses that say so."""
    return hasattr(kind, "_fields") or getattr(kind, "STORED_AS_ROW", False)


def _row_of(kind: Any) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not list:
            raise _wrong(value, "a list")
        return row_of(kind, value)

    return read


def _object_of(kind: Any) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _wrong(value, "an object")
        return kind(**read_fields(fields_of(kind), value))

    return read
