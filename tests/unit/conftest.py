"""Unit tests are about values: starting a process in one of them is an error."""

import os
import subprocess
from typing import NoReturn

import pytest


class ProcessStarted(BaseException):
    """No ``except Exception`` of the code under test can hide it."""


@pytest.fixture(autouse=True)
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> NoReturn:
        raise ProcessStarted("a unit test must not start a process; tests/node and tests/packages may")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system"):
        monkeypatch.setattr(os, name, refuse)
