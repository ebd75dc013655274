"""Digests of builds: which two are one build, and what an absent one, or one without a kind, is worth."""

import pytest

from os_update_agent.model import builds
from os_update_agent.model.builds import digest_of, is_other_build, is_same_build, other_than

BOTH = "sha256header:fe,sigmd5:ab"


def test_a_digest_has_every_kind_that_the_package_has() -> None:
    assert digest_of(zip(builds.KINDS, ("fe", "ab"))) == BOTH
    assert digest_of(zip(builds.KINDS, ("fe", ""))) == "sha256header:fe"
    assert digest_of(zip(builds.KINDS, ("", "ab"))) == "sigmd5:ab"
    assert digest_of(zip(builds.KINDS, ("", ""))) == ""


@pytest.mark.parametrize("other", [BOTH, "sha256header:fe", "sigmd5:ab", "ab", "sha256header:fe,sigmd5:other"])
def test_values_of_the_strongest_kind_that_both_have_are_compared(other: str) -> None:
    assert is_same_build(BOTH, other) and is_same_build(other, BOTH)
    assert not is_other_build(BOTH, other) and not is_other_build(other, BOTH)


@pytest.mark.parametrize("other", ["sha256header:ab", "sha256header:be,sigmd5:ab", "sigmd5:fe", "fe"])
def test_equal_values_of_other_kinds_are_not_equal(other: str) -> None:
    assert is_other_build(BOTH, other) and is_other_build(other, BOTH)
    assert not is_same_build(BOTH, other)


def test_a_package_without_the_recorded_kind_of_digest_is_another_build() -> None:
    """The recorded one was of format 4, and this one is of format 6."""
    assert is_other_build("sha256header:fe", "ab")


@pytest.mark.parametrize("known", [BOTH, "ab", ""])
def test_an_absent_digest_equals_nothing_and_proves_no_difference(known: str) -> None:
    for one, other in (("", known), (known, "")):
        assert not is_same_build(one, other) and not is_other_build(one, other)


def test_a_planned_build_is_any_but_the_one_that_it_replaces() -> None:
    planned = other_than(BOTH)
    assert is_other_build(BOTH, planned) and is_other_build("ab", planned)
    assert is_same_build("sha256header:be", planned) and is_same_build("be", planned)
    assert other_than("") == ""


def test_two_builds_of_one_version_have_different_words_in_file_names() -> None:
    words = [builds.file_word(digest) for digest in (BOTH, "sha256header:be", "ab")]
    assert words == ["fe", "be", "ab"]
