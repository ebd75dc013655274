"""The sample of agent.conf tells the truth: every setting is in it, with what is built in."""

import re
from pathlib import Path
from typing import List

from os_update_agent.config import settings
from os_update_agent.config.options import READERS
from os_update_agent.config.policy import DEFAULT_TRIGGER, by_hand

SAMPLE = (Path(settings.__file__).parent / "agent.conf.sample").read_text(encoding="utf-8")
SHOWN = re.compile(r"^#(\w+) =", re.MULTILINE)


def shown(section: str) -> List[str]:
    return SHOWN.findall(SAMPLE.partition(f"[{section}]\n")[2].partition("\n[")[0])


def test_as_it_is_the_sample_changes_nothing() -> None:
    assert settings.parse(SAMPLE, "sample") == settings.Settings()


def test_every_setting_is_shown_in_its_section() -> None:
    for section, keys in settings._KNOWN.items():
        assert sorted(shown(section)) == sorted(keys)
    assert sorted(shown("defaults")) == sorted(READERS)


def test_what_is_shown_is_what_is_built_in() -> None:
    found = settings.parse(SHOWN.sub(r"\1 =", SAMPLE), "sample")
    assert found == settings.Settings(defaults=found.defaults)
    assert by_hand("v", "k", found.defaults) == by_hand("v", "k", {})
    assert found.defaults["trigger"] == DEFAULT_TRIGGER


def test_every_setting_has_its_comment() -> None:
    lines = SAMPLE.splitlines()
    for number, line in enumerate(lines):
        if SHOWN.match(line):
            assert lines[number - 1].startswith("# "), line
