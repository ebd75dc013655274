"""agent.conf: what it says, and one sentence for each way in which it can be wrong."""

from pathlib import Path

import pytest

from os_update_agent.config import settings
from os_update_agent.config.settings import ENVIRONMENT, Settings, load, parse
from os_update_agent.model.errors import BadOption


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)


def fault(text: str) -> str:
    with pytest.raises(BadOption) as caught:
        parse(text, "agent.conf")
    return str(caught.value)


def test_an_empty_file_means_what_is_built_in() -> None:
    assert parse("", "agent.conf") == Settings()
    assert (
        parse("[node]\nroot =\nbackend =\n[paths]\nstate =\n[signal]\nca_certificate =\n", "agent.conf") == Settings()
    )


def test_everything_that_can_be_said() -> None:
    found = parse(
        "[node]\nroot = /srv/root\nbackend = apt\n[paths]\nstate = /s/state\nlog = /s/log/\nrun = /s/./run\nsteps ="
        " /s/steps\n[signal]\nca_certificate = /etc/ssl/heat.pem\n[defaults]\nkeep = 7\nselect = security\n",
        "agent.conf",
    )
    assert found == Settings(
        root=Path("/srv/root"), backend="apt", state=Path("/s/state"),
        log=Path("/s/log"), run=Path("/s/run"), steps=Path("/s/steps"),
        ca_certificate="/etc/ssl/heat.pem", defaults={"keep": "7", "select": "security"},
    )  # fmt: skip
    assert (found.ledger, found.archive, found.lock) == (
        Path("/s/state/ledger.sqlite"),
        Path("/s/state/archive"),
        Path("/s/run/lock"),
    )


def test_a_percent_sign_is_a_percent_sign() -> None:
    assert parse("[defaults]\npackages = %(nginx)s\n", "agent.conf").defaults == {"packages": "%(nginx)s"}


@pytest.mark.parametrize(("text", "said"), [
    ("[nodes]\nroot = /\n", "agent.conf: unknown section [nodes]; there are [node], [paths], [signal] and [defaults]"),
    ("[DEFAULT]\nroot = /\n",
     "agent.conf: unknown section [DEFAULT]; there are [node], [paths], [signal] and [defaults]"),
    ("[node]\nbackand = apt\n", "agent.conf: unknown key 'backand' in [node]; do you mean 'backend'?"),
    ("[paths]\nzzz = /\n", "agent.conf: unknown key 'zzz' in [paths]; there are state, log, run, steps"),
    ("[node]\nstate = /\n", "agent.conf: unknown key 'state' in [node]; there are root, backend"),
    ("[node]\nbackend = pacman\n", "agent.conf: backend is 'pacman'; it must be one of auto, apt, dnf, dnf5"),
    ("[paths]\nmetrics = /c/agent.txt\n", "agent.conf: metrics is '/c/agent.txt'; its name must end in .prom"),
    ("[node]\nroot = srv\n", "agent.conf: root is 'srv'; it must be an absolute path without quotes"),
    ("[paths]\nstate = ./state\n", "agent.conf: state is './state'; it must be an absolute path without quotes"),
    ("[paths]\nrun = ~/run\n", "agent.conf: run is '~/run'; it must be an absolute path without quotes"),
    ('[node]\nroot = "/srv"\n', "agent.conf: root is '\"/srv\"'; it must be an absolute path without quotes"),
    ('[node]\nroot = /srv"; DPkg::Options "x\n', "absolute path without quotes"),
    ("[node]\nroot = /srv\n  /more\n", "absolute path without quotes"),
    ("root = /\n", "agent.conf is not an INI file: "),
    ("[node]\nroot = /\nroot = /\n", "agent.conf is not an INI file: "),
    ("[node]\nnonsense\n", "agent.conf is not an INI file: "),
    ("node:\n  root: /\n", "agent.conf is not an INI file: "),
])  # fmt: skip
def test_what_is_wrong_is_named_in_one_line(text: str, said: str) -> None:
    complaint = fault(text)
    assert said in complaint
    assert "\n" not in complaint


def test_a_missing_default_file_means_what_is_built_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DEFAULT_FILE", tmp_path / "agent.conf")
    assert load() == Settings()


def test_the_default_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DEFAULT_FILE", tmp_path / "agent.conf")
    (tmp_path / "agent.conf").write_text("[node]\nbackend = dnf\n", encoding="utf-8")
    assert load().backend == "dnf"


@pytest.mark.parametrize("way", ["argument", "environment"])
def test_a_file_that_is_named_must_be_there(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = str(tmp_path / "nowhere.conf")
    if way == "environment":
        monkeypatch.setenv(ENVIRONMENT, named)
    with pytest.raises(BadOption, match=r"the configuration file .*nowhere\.conf is not there"):
        load(named if way == "argument" else None)


def test_the_argument_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.conf").write_text("[node]\nbackend = apt\n", encoding="utf-8")
    (tmp_path / "two.conf").write_text("[node]\nbackend = dnf\n", encoding="utf-8")
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "two.conf"))
    assert load().backend == "dnf"
    assert load(str(tmp_path / "one.conf")).backend == "apt"


def test_a_directory_or_bytes_that_are_no_text_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.conf").write_bytes(b"[node]\nroot = /caf\xe9\n")
    for path in (tmp_path, tmp_path / "latin.conf"):
        with pytest.raises(BadOption, match="cannot be read"):
            load(str(path))


@pytest.mark.parametrize("root", ["/", "//", "///", "//.", "/..", "//../."])
def test_every_spelling_of_the_root_is_this_machines(root: str) -> None:
    """POSIX keeps two slashes at the beginning of a path."""
    assert not parse(f"[node]\nroot = {root}\n", "agent.conf").is_trial
