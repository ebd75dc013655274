"""What somebody has opened is closed at the next start; what may be somebody else's is only named."""

import logging
import os
from pathlib import Path

import pytest

from os_update_agent.config.settings import Settings
from os_update_agent.node.permissions import close_directory, close_files
from os_update_agent.runtime.context import open_site


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_files_of_ours_are_closed_and_this_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "ledger.sqlite"
    path.touch(mode=0o644)
    path.chmod(0o664)
    close_files([path, tmp_path / "none"])
    assert mode(path) == 0o600
    assert str(path) in caplog.text and "0664" in caplog.text


def test_a_link_leads_to_nobody_elses_file(tmp_path: Path) -> None:
    other = tmp_path / "passwd"
    other.touch()
    other.chmod(0o644)
    (tmp_path / "worker.log").symlink_to(other)
    close_files([tmp_path / "worker.log"])
    assert mode(other) == 0o644


def test_a_directory_of_others_is_named_and_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tmp_path.chmod(0o755)
    close_directory(tmp_path, is_ours=False)
    assert mode(tmp_path) == 0o755
    assert str(tmp_path) in caplog.text and "0700" in caplog.text


def test_every_start_closes_what_was_opened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ours = tmp_path / "os-update-agent"
    settings = Settings(root=tmp_path, state=ours / "state", log=ours / "log", run=ours / "run")
    open_site(settings).ledger.close()
    files = [
        settings.ledger,
        settings.log / "000001.log",
        settings.worker_log,
        settings.lock,
        settings.run / "worker.env",
    ]
    for path in files:
        path.parent.mkdir(exist_ok=True)
        path.touch()
        path.chmod(0o666)
    settings.archive.mkdir()
    stranger = settings.log / "notes.txt"
    stranger.touch()
    stranger.chmod(0o644)
    directories = [settings.state, settings.archive, settings.log, settings.run]
    for directory in directories:
        os.chmod(directory, 0o755)
    with caplog.at_level(logging.WARNING):
        open_site(settings).ledger.close()
    assert {mode(path) for path in files} == {0o600}
    assert {mode(directory) for directory in directories} == {0o700}
    assert mode(stranger) == 0o644
    caplog.clear()
    open_site(settings).ledger.close()
    assert caplog.text == ""
