"""agent.conf from the metadata key os-update-agent, through the real os-apply-config."""

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import pytest

from chain import install as chain
from os_update_agent.config import settings
from os_update_agent.install.render import KEY, MARK, agent_conf
from os_update_agent.install.target import FILES
from os_update_agent.model.errors import BadOption

# The command of the installed program os-update-agent-render.
RENDER = (
    sys.executable,
    "-I",
    str(chain.CHECKOUT / "agent/os_update_agent/launch.py"),
    "os_update_agent.install.render",
)
WANTED = {
    "node": {"backend": "apt"},
    "defaults": {"keep": 3, "exclude": ["linux-*", "docker-ce"], "archive": "required", "deadline": None},
}


def test_what_the_metadata_ask_for_is_what_the_agent_reads() -> None:
    text = agent_conf({KEY: WANTED}, "")
    assert text.startswith(MARK)
    read = settings.parse(text, "agent.conf")
    assert read.backend == "apt"
    assert dict(read.defaults) == {
        "keep": "3",
        "exclude": '["linux-*", "docker-ce"]',
        "archive": "required",
        "deadline": "",
    }


@pytest.mark.parametrize("metadata", [{}, {KEY: None}, {KEY: {}}, {KEY: ""}])
def test_without_the_key_a_file_of_ours_goes_and_an_operators_stays(metadata: Any) -> None:
    assert agent_conf(metadata, agent_conf({KEY: WANTED}, "")) == ""
    assert agent_conf(metadata, "[defaults]\nkeep = 7\n") == "[defaults]\nkeep = 7\n"


def test_an_operators_file_stays_also_when_the_metadata_ask_for_something_else() -> None:
    assert agent_conf({KEY: WANTED}, "# mine\n") == "# mine\n"


@pytest.mark.parametrize("wanted", ["text", ["list"], {"keep": 3}, 7])
def test_what_is_no_map_of_sections_is_refused_by_the_agent_in_words(wanted: Any) -> None:
    with pytest.raises(BadOption, match="the metadata key os-update-agent must be a map of sections"):
        settings.parse(agent_conf({KEY: wanted}, ""), "agent.conf")


def test_a_value_of_several_lines_is_one_value() -> None:
    text = agent_conf({KEY: {"defaults": {"exclude": "a\n[node]\nroot = /tmp"}}}, "")
    assert settings.parse(text, "agent.conf").root == Path("/")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (b'{"a": "\xff"}', "are not UTF-8: the byte 0xff at offset 7 must be part of a character"),
        (b'{"a": ', "are no JSON: Expecting value: line 1 column 7 (char 6)"),
        (b"[]", "are a JSON list; they must be a map"),
    ],
)
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_metadata_that_cannot_be_read_are_named_in_a_sentence(given: bytes, text: str, locale: str) -> None:
    argv = [*RENDER, "/nowhere/agent.conf"]
    done = subprocess.run(argv, input=given, env={"LC_ALL": locale}, capture_output=True)
    assert done.returncode == 1 and done.stdout == b""
    assert done.stderr.decode() == f"agent.conf is not rendered: the metadata on standard input {text}\n"


class Applied:
    """A node's os-apply-config with the one template, below a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.conf = directory / "etc/os-update-agent/agent.conf"
        self.template = template = directory / "templates" / self.conf.relative_to("/")
        template.parent.mkdir(parents=True)
        text = (FILES / "agent.conf").read_text().replace("@PROGRAMS@/os-update-agent-render", " ".join(RENDER))
        template.write_text(text.replace("present=/etc/os-update-agent/agent.conf\n", f"present={self.conf}\n"))
        template.chmod(0o755)
        template.with_name("agent.conf.oac").write_text((FILES / "agent.conf.oac").read_text())

    def render(self, metadata: Any) -> Optional[str]:
        file = self.directory / "metadata.json"
        file.write_text(json.dumps(metadata))
        argv = [
            str(chain.directory() / "bin/os-apply-config"),
            "--templates",
            str(self.directory / "templates"),
            "--metadata",
            str(file),
        ]
        subprocess.run(argv, check=True, capture_output=True)
        return self.conf.read_text() if self.conf.exists() else None


def test_os_apply_config_writes_it_and_takes_it_away_again(tmp_path: Path) -> None:
    node = Applied(tmp_path)
    assert node.render({}) is None
    rendered = node.render({KEY: WANTED})
    assert rendered is not None and rendered.startswith(MARK)
    assert stat.S_IMODE(node.conf.stat().st_mode) == 0o600
    assert settings.parse(rendered, "agent.conf").defaults["keep"] == "3"
    assert node.render({KEY: WANTED}) == rendered
    assert node.render({}) is None


def test_half_a_character_in_the_metadata_does_not_stop_the_chain(tmp_path: Path) -> None:
    rendered = Applied(tmp_path).render({KEY: {"defaults": {"exclude": "\udc80"}}})
    assert rendered is not None and "exclude = \\udc80\n" in rendered


def test_os_apply_config_leaves_an_operators_file(tmp_path: Path) -> None:
    node = Applied(tmp_path)
    node.conf.parent.mkdir(parents=True)
    node.conf.write_text("[defaults]\nkeep = 7\n")
    assert node.render({KEY: WANTED}) == "[defaults]\nkeep = 7\n"


def test_a_file_that_is_no_text_does_not_stop_the_chain(tmp_path: Path) -> None:
    node = Applied(tmp_path)
    node.conf.parent.mkdir(parents=True)
    node.conf.write_bytes(b"# \xff\n")
    assert node.render({KEY: WANTED}) == "# \ufffd\n"


def test_without_the_agent_everything_stays_and_the_chain_goes_on(tmp_path: Path) -> None:
    node = Applied(tmp_path)
    node.template.write_text(node.template.read_text().replace(sys.executable, "/nowhere/python"))
    assert node.render({KEY: WANTED}) is None
    node.conf.parent.mkdir(parents=True)
    node.conf.write_text("[defaults]\nkeep = 7\n")
    assert node.render({KEY: WANTED}) == "[defaults]\nkeep = 7\n"
