"""A target of the fuzzing."""

from typing import Callable, NamedTuple, Sequence, Tuple, Type

from os_update_agent.model.errors import AgentError


class Target(NamedTuple):
    """One reader.

    Attributes:
        name: The name of the target.
        read: The reader; it gets a text.
        samples: Texts that it understands.
        errors: The errors by which it may refuse a text.
        share: How many inputs it gets, beside 1 for a reader that takes microseconds.
    """

    name: str
    read: Callable[[str], object]
    samples: Sequence[str]
    errors: Tuple[Type[Exception], ...] = (AgentError,)
    share: float = 1.0


def as_bytes(text: str) -> bytes:
    """Return the text as bytes that need not be UTF-8: surrogates and letters up to U+00FF become single bytes."""
    return b"".join(bytes([ord(one)]) if ord(one) < 256 else one.encode("utf-8", "surrogatepass") for one in text)
