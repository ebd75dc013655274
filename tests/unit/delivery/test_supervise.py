"""How a caller waits: woken by the ledger's file, and the more seldom at work the longer it takes."""

import os
from pathlib import Path
from typing import Iterator, List

import pytest

from os_update_agent.config.settings import Settings
from os_update_agent.delivery import supervise
from os_update_agent.ledger import Ledger
from os_update_agent.model.deliveries import Delivery
from os_update_agent.runtime.context import Site


class Clock:
    """Stands still but for those who sleep."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: List[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(supervise, "time", clock)
    return clock


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    settings = Settings(state=tmp_path, run=tmp_path / "run")
    ledger = Ledger(settings.ledger)
    yield Site(settings, ledger)
    ledger.close()


@pytest.mark.parametrize(
    ("passed", "looks", "in_all"), [(0.0, 1, 0.005), (2.0, 5, 0.1), (60.0, 10, 1.0), (3600.0, 10, 1.0)]
)
def test_who_waits_long_looks_seldom(site: Site, clock: Clock, passed: float, looks: int, in_all: float) -> None:
    supervise._pause(site, supervise._ledger_mark(site), clock.now - passed, None)
    assert len(clock.slept) in (looks, looks + 1) and sum(clock.slept) == pytest.approx(
        in_all, abs=0.2 * in_all + 0.005
    )


def test_a_change_of_the_ledger_ends_the_pause(site: Site, clock: Clock) -> None:
    os.utime(site.settings.ledger, (1, 1))
    seen = supervise._ledger_mark(site)
    site.ledger.receive(Delivery("config-1", "key", "v1", "UPDATE", 1.0))
    supervise._pause(site, seen, clock.now - 3600, None)
    assert clock.slept == []


def test_without_a_ledger_it_waits_all_the_same(tmp_path: Path, site: Site, clock: Clock) -> None:
    gone = Site(Settings(state=tmp_path / "none", run=tmp_path / "run"), site.ledger)
    supervise._pause(gone, supervise._ledger_mark(gone), clock.now - 60, None)
    assert sum(clock.slept) == pytest.approx(1.0, abs=0.1)
