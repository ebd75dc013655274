"""The metrics file, read by Prometheus' own parser."""

import logging
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Dict, Tuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from os_update_agent.config.settings import Settings
from os_update_agent.delivery.metrics import Facts, exposition, publish
from os_update_agent.ledger import Ledger
from os_update_agent.model.deliveries import OwedSignal
from os_update_agent.model.packages import HeldBack
from os_update_agent.model.plans import Plan
from os_update_agent.model.runs import Progress, Run
from os_update_agent.runtime.context import Site
from os_update_agent.text.log_lines import logged

RUN = Run(
    *(7, "a-key/secret", "v2", "update", "finished", 1_795_000_000.5),
    finished=1_795_000_031.0,
    progress=Progress(reached=True),
    plan=Plan(held_back=(HeldBack("db", "on hold"),)),
)
FACTS = Facts(
    RUN,
    12,
    0,
    (OwedSignal("c1", "{}", "owed", 1, 1.0), OwedSignal("c2", "{}", "refused", 1, 1.0)),
    True,
    1_795_000_040.0,
)


def samples(text: str) -> Dict[Tuple[str, Tuple[str, ...]], float]:
    families = list(text_string_to_metric_families(text))
    assert all(family.type == "gauge" and family.documentation for family in families)
    found = [sample for family in families for sample in family.samples]
    return {
        (sample.name.replace("os_update_agent_", ""), tuple(sample.labels.values())): sample.value for sample in found
    }


def test_everything_that_is_promised_can_be_scraped() -> None:
    found = samples(exposition(FACTS))
    assert found["last_run_start_timestamp_seconds", ()] == 1_795_000_000.5
    assert found["last_run_end_timestamp_seconds", ()] == 1_795_000_031
    assert [found["last_run_result", (result,)] for result in ("success", "undone", "failed", "open")] == [1, 0, 0, 0]
    assert found["last_run_packages_changed", ()] == 12 and found["last_run_packages_held_back", ()] == 1
    assert found["signals_owed", ()] == 1 and found["signals_refused", ()] == 1
    assert found["reboot_required", ()] == 1 and found["open_runs", ()] == 0


def test_an_open_run_has_no_end_and_a_fresh_node_no_run() -> None:
    found = samples(exposition(FACTS._replace(last=replace(RUN, finished=None))))
    assert ("last_run_end_timestamp_seconds", ()) not in found and found["last_run_result", ("open",)] == 1
    assert not any(name.startswith("last_run") for name, _ in samples(exposition(FACTS._replace(last=None))))


def test_nothing_of_the_stack_is_in_it() -> None:
    assert "secret" not in exposition(FACTS) and "v2" not in exposition(FACTS)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "collector").mkdir()
    settings = Settings(
        root=tmp_path,
        backend="apt",
        state=tmp_path / "state",
        run=tmp_path / "os-update-agent",
        metrics=tmp_path / "collector/agent.prom",
    )
    return Site(settings, Ledger(settings.ledger))


def test_the_file_is_for_everybody_and_replaced_in_one_step(site: Site) -> None:
    path = site.settings.metrics
    assert path is not None
    publish(site)
    assert path.stat().st_mode & 0o777 == 0o644
    with path.open(encoding="utf-8") as reader:
        publish(site)
        # Who has it open reads the old one to its end.
        assert samples(reader.read())["open_runs", ()] == 0
    assert [file.name for file in path.parent.iterdir()] == ["agent.prom"]


def test_a_directory_that_is_not_there_is_told_and_fails_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    gone = site._replace(settings=replace(site.settings, metrics=Path("/nowhere/agent.prom")))
    with caplog.at_level(logging.WARNING):
        publish(gone)
    assert "metrics=/nowhere/agent.prom written=no why=" in caplog.text


def test_a_fact_is_logged_as_words_that_a_shell_could_read() -> None:
    line = logged(run=7, value="two words", why='it\'s "so"', path="/var/log/x", nothing="", other="a=b", lines="a\nb")
    assert line == 'run=7 value="two words" why="it\'s \\"so\\"" path=/var/log/x nothing="" other="a=b" lines="a\\nb"'
    assert shlex.split(line)[:4] == ["run=7", "value=two words", 'why=it\'s "so"', "path=/var/log/x"]
