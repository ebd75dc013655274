"""The promise under SIGKILL, as much of it as CI has time for: tests/run kills N SEED runs more."""

from kills.kills import survive


def test_every_kill_is_survived() -> None:
    assert survive(200, seed=20261123) == 0
