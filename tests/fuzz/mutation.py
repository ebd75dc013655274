"""Mutated samples: texts with a few edits, drawn by hypothesis."""

from typing import Sequence

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from fuzz.targets import NASTY, SNIPPETS

_EDITS_AT_MOST = 6
_LONGEST = 40_000


def mutated(samples: Sequence[str]) -> SearchStrategy[str]:
    """Return texts that are made of the samples by up to six edits, and now and then texts of any characters."""
    place = st.integers(0, 1 << 16)
    insert = st.one_of(st.sampled_from(NASTY), st.sampled_from(SNIPPETS), st.text(max_size=8))
    edit = st.tuples(st.sampled_from("irdcs"), place, place, insert)
    edited = st.builds(_edited, st.sampled_from(list(samples)), st.lists(edit, max_size=_EDITS_AT_MOST))
    anything = st.text(st.one_of(st.sampled_from(NASTY), st.characters()), max_size=60)
    return st.one_of(edited, edited, edited, anything)


def _edited(text: str, edits: "Sequence[tuple[str, int, int, str]]") -> str:
    for kind, first, second, insert in edits:
        start = first % (len(text) + 1)
        end = start + second % 40
        if kind == "i":  # insert
            text = text[:start] + insert + text[start:]
        elif kind == "r":  # replace
            text = text[:start] + insert + text[end:]
        elif kind == "d":  # delete
            text = text[:start] + text[end:]
        elif kind == "c":  # cut off
            text = text[:start]
        else:  # write a part twice
            text = text[:end] + text[start:]
    return text[:_LONGEST]
