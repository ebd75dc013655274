"""Compares the digests that tell which build of one version a package is. Pure. dnf's worker uses this module, so it
runs under Python 3.6 as well.

A digest of rpm is "kind:value". A package that has several kinds has them all, the strongest first, separated by
commas: a state that was recorded with one kind can then be compared with a package that has two. A value without a kind
is rpm's SIGMD5 as older agents recorded it, or the digest of a package of apt, which has one kind only.

Facts (rpm's sources, and measured): packages of format 4 have SIGMD5, and SHA256HEADER if rpm 4.14 or later has built
them; packages of format 6 have no SIGMD5. SHA256HEADER covers the header, which has the digest of the payload. Signing
changes none. The payload's own digest is asked for nowhere: a package that has it has SHA256HEADER, too, and rpm 6 has
renamed its tag.
"""

from typing import Dict, Iterable, Tuple

SHA256_HEADER = "sha256header"
SIGMD5 = "sigmd5"
# The strongest first.
KINDS = (SHA256_HEADER, SIGMD5)

# Before the digest of a build that is to be replaced by another one of the same version.
OTHER = "!"


def digest_of(values: Iterable[Tuple[str, str]]) -> str:
    """Return the digest with these (kind, value) pairs in their order, without those that have no value."""
    return ",".join(f"{kind}:{value}" for kind, value in values if value)


def is_same_build(digest: str, other: str) -> bool:
    """Do two digests prove that two packages are one build? Only values of one kind are equal, and an absent digest
    equals nothing.
    """
    if not digest or not other:
        return False
    if other.startswith(OTHER):
        return is_other_build(digest, other[len(OTHER) :])
    known, wanted = _values(digest), _values(other)
    shared = next((kind for kind in KINDS if kind in known and kind in wanted), None)
    return shared is not None and known[shared] == wanted[shared]


def is_other_build(digest: str, other: str) -> bool:
    """Do two digests prove that two packages are different builds? Both are known then, and they are not the same.

    ``other`` may be planned (other_than). A build without the kind of digest that the other one has is another build.
    """
    return bool(digest and other) and not is_same_build(digest, other)


def other_than(digest: str) -> str:
    """Return the digest of a planned build that is not this one. "" if this one is unknown."""
    return f"{OTHER}{digest}" if digest else ""


def file_word(digest: str) -> str:
    """Return a word for a file name that tells the builds of one version apart: the strongest value alone."""
    return next(iter(_values(digest).values()), "")


def _values(digest: str) -> Dict[str, str]:
    found: Dict[str, str] = {}
    for part in digest.split(","):
        kind, colon, value = part.partition(":")
        found[kind if colon else SIGMD5] = value if colon else part
    return found
