"""What is owed to Heat, when Heat's side is not well; a ledger that cannot be used; and secrets, which nobody finds
afterwards.
"""

import json
import os
import socket
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence

import pytest

from delivery.server import PASSWORD, PROJECT, USER, SignalServer
from os_update_agent.delivery.execute import resume
from os_update_agent.delivery.locks import is_waited_for, waiting
from os_update_agent.delivery.outbox import CALLER_SECONDS, Patience, deliver_signal
from os_update_agent.ledger import SCHEMA
from os_update_agent.testing.receiver import Request
from os_update_agent.testing.repository import Deb
from packages.node import SIGNATURE, VERSIONS_ONE, Node, Result

TWO = Deb("tool", "2.0-1")


def bodies(requests: Sequence[Request]) -> List[str]:
    return [request.body.decode() for request in requests]


def owed(node: Node) -> Result:
    """A delivery whose result Heat did not take. It would now."""
    node.receiver.answer(503)
    done = node.succeed("UPDATE", "v2")
    node.wait_until_at_rest()
    node.receiver.answer(200)
    node.receiver.received.clear()
    return done


def test_a_server_that_recovers_is_tried_again(based: Node) -> None:
    answers = [500, 503, 200]
    based.receiver.answer(lambda _: answers.pop(0))
    done = based.succeed("UPDATE", "v2", signal_timeout=60)
    assert bodies(done.received) == [done.stdout] * 3
    assert based.signals()[done.id].standing == "delivered"


@pytest.mark.parametrize(
    "status, standing",
    [
        (500, "owed"),
        (503, "owed"),
        (429, "owed"),
        (403, "refused"),
        (404, "refused"),
        (302, "refused"),
    ],
)
def test_an_answer_decides_whether_a_result_is_still_owed(based: Node, status: int, standing: str) -> None:
    based.receiver.answer(status)
    done = based.succeed("UPDATE", "v2")
    signal = based.signals()[done.id]
    assert signal.standing == standing
    assert str(status) in signal.last_answer
    assert (signal.target is None) == (standing == "refused")
    assert set(bodies(done.received)) == {done.stdout}
    assert standing == "owed" or len(done.received) == 1


def refusing_url() -> str:
    """A port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/signal?Signature={SIGNATURE}"


def test_a_server_that_is_down_leaves_the_result_owed_and_the_work_done(based: Node) -> None:
    based.offer(TWO)
    done = based.succeed("UPDATE", "v2", deploy_signal_id=refusing_url())
    assert based.versions()["tool"] == "2.0-1"
    assert based.signals()[done.id].standing == "owed"
    assert 'signal=owed why="no answer: ConnectionError" next="os-update-agent resume"' in done.stderr
    assert SIGNATURE not in done.stderr


def test_a_caller_that_is_there_sends_its_result_itself(based: Node) -> None:
    done = owed(based)
    is_there, sent = threading.Event(), []

    def call() -> None:
        site = based.site()
        with waiting(site.settings, done.id):
            is_there.set()
            # The worker has seen by now that something is owed.
            time.sleep(CALLER_SECONDS / 4)
            sent.append(deliver_signal(site, done.id, Patience(0.0)))
        site.ledger.close()

    caller = threading.Thread(target=call)
    caller.start()
    is_there.wait()
    site = based.site()
    assert resume(site, Patience(0.0)) == ()
    caller.join()
    site.ledger.close()
    assert bodies(based.receiver.received) == [done.stdout]
    assert sent == [True]


def test_a_caller_that_is_there_and_does_not_send_is_helped(based: Node) -> None:
    done = owed(based)
    site = based.site()
    with waiting(site.settings, done.id):
        begun = time.monotonic()
        assert resume(site, Patience(0.0)) == ()
        assert time.monotonic() - begun >= CALLER_SECONDS
    site.ledger.close()
    assert bodies(based.receiver.received) == [done.stdout]


def test_a_caller_of_another_delivery_keeps_nobody_from_sending(based: Node) -> None:
    done = owed(based)
    site = based.site()
    with waiting(site.settings, "another"):
        assert not is_waited_for(site.settings, done.id)
        assert resume(site, Patience(0.0)) == ()
    site.ledger.close()


def test_what_is_owed_is_sent_by_resume_with_the_same_bytes(based: Node) -> None:
    done = owed(based)
    site = based.site()
    assert resume(site, Patience(0.0)) == ()
    site.ledger.close()
    assert bodies(based.receiver.received) == [done.stdout]
    assert based.signals()[done.id].standing == "delivered"
    site = based.site()
    assert resume(site) == ()
    site.ledger.close()
    assert len(based.receiver.received) == 1


def test_what_is_owed_for_another_resource_is_sent_by_the_next_run(based: Node) -> None:
    based.receiver.answer(503)
    owed = based.succeed("UPDATE", "v2", resource="other")
    based.wait_until_at_rest()
    based.receiver.answer(200)
    based.receiver.received.clear()
    done = based.succeed("UPDATE", "v2")
    based.wait_until_at_rest()
    assert sorted(bodies(based.receiver.received)) == sorted([owed.stdout, done.stdout])


def test_what_is_owed_under_the_same_name_is_superseded_by_the_next_delivery(based: Node) -> None:
    """It would finish the new deployment."""
    based.receiver.answer(503)
    old = based.succeed("UPDATE", "v2")
    based.wait_until_at_rest()
    based.receiver.answer(200)
    done = based.succeed("UPDATE", "v3")
    assert bodies(done.received) == [done.stdout]
    assert based.signals()[old.id].standing == "superseded"
    assert based.signals()[old.id].target is None


def test_what_was_refused_under_the_same_name_is_forgotten_with_the_next_delivery(
    based: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who signals it by hand would finish the new deployment, and so would heat-config-notify, from heat-config's
    copy.
    """
    deployed = tmp_path / "deployed"
    deployed.mkdir()
    monkeypatch.setenv("HEAT_CONFIG_DEPLOYED", str(deployed))
    metrics = tmp_path / "agent.prom"
    based.conf.write_text(
        based.conf.read_text(encoding="utf-8").replace("[paths]\n", f"[paths]\nmetrics = {metrics}\n"), encoding="utf-8"
    )
    based.receiver.answer(403)
    refused = based.deployment("UPDATE", "v2")
    copy = deployed / f"{refused['id']}.json"
    copy.write_text(json.dumps(refused), encoding="utf-8")
    based.start_with(refused).wait()
    assert based.signals()[refused["id"]].standing == "refused"
    assert "\nos_update_agent_signals_refused 1\n" in metrics.read_text(encoding="utf-8")
    based.wait_until_at_rest()
    based.receiver.answer(200)
    based.succeed("UPDATE", "v3")
    assert based.signals()[refused["id"]].standing == "superseded"
    assert "\nos_update_agent_signals_refused 0\n" in metrics.read_text(encoding="utf-8")
    assert SIGNATURE not in copy.read_text(encoding="utf-8")


def test_a_failed_update_is_owed_as_any_other_result(based: Node) -> None:
    based.offer(Deb("tool", "2.0-1", scripts={"postinst": "exit 1"}))
    based.receiver.answer(500)
    failed = based.fail("UPDATE", "v2")
    based.wait_until_at_rest()
    assert json.loads(based.signals()[failed.id].body)["deploy_status_code"] == 1


# --- a ledger that cannot be used


def assert_told_without_a_ledger(node: Node, failed: Result) -> None:
    assert failed.status != 0
    assert "ledger" in failed.complaint and "nothing was changed" in failed.complaint
    assert bodies(failed.received) == [failed.stdout]
    assert node.versions() == VERSIONS_ONE


def test_the_ledger_of_a_newer_agent_is_left_alone(based: Node) -> None:
    ledger = based.state / "ledger.sqlite"
    with sqlite3.connect(ledger) as db:
        db.execute(f"PRAGMA user_version={SCHEMA + 1}")
    before = ledger.read_bytes()
    based.offer(TWO)
    failed = based.fail("UPDATE", "v2")
    assert_told_without_a_ledger(based, failed)
    assert f"schema {SCHEMA + 1}" in failed.complaint
    assert "install the newer agent again, or move the whole directory" in failed.complaint
    assert ledger.read_bytes() == before


@pytest.mark.parametrize("start, end", [(0, None), (0, 100), (4096, 12288)])
def test_a_damaged_ledger_is_named_and_left_alone(based: Node, start: int, end: Any) -> None:
    ledger = based.state / "ledger.sqlite"
    content = bytearray(ledger.read_bytes())
    size = len(content[start:end])
    content[start:end] = bytes((7 * number) % 251 for number in range(size))
    ledger.write_bytes(content)
    based.offer(TWO)
    failed = based.fail("UPDATE", "v2")
    assert_told_without_a_ledger(based, failed)
    assert str(ledger) in failed.complaint
    assert "damaged" in failed.complaint and "move the whole directory" in failed.complaint


# --- secrets


@pytest.fixture
def heat() -> Iterator[SignalServer]:
    with SignalServer() as server:
        yield server


def heat_signal(server: SignalServer) -> Dict[str, str]:
    return {
        "deploy_signal_transport": "HEAT_SIGNAL",
        "deploy_auth_url": f"{server.url}/v3",
        "deploy_user_id": USER,
        "deploy_username": USER,
        "deploy_password": PASSWORD,
        "deploy_project_id": PROJECT,
        "deploy_region_name": "RegionOne",
    }


# Writes the command line and the environment of every ancestor of the script, and its own, below the directory.
SPY = """
i=0; pid=$$
while [ "$pid" -gt 1 ]; do
    i=$((i+1))
    cat /proc/$pid/cmdline > {place}/$0.$i.cmdline
    cat /proc/$pid/environ > {place}/$0.$i.environ
    pid=$(sed -n 's/^PPid:[[:space:]]*//p' /proc/$pid/status)
    [ "$pid" != {test} ] || break
done
"""


def spy(node: Node) -> str:
    place = node.directory / "seen"
    place.mkdir(exist_ok=True)
    return SPY.replace("$0", "$(basename $0)").format(place=place, test=os.getpid())


def assert_nowhere(node: Node, secrets: List[str], *results: Result) -> None:
    """None of the secrets is in a file below the node's directory, whoever wrote it; nor was it on a command line."""
    files = [path for path in sorted(node.directory.rglob("*")) if path.is_file() and not path.is_symlink()]
    wanted = {node.state / "ledger.sqlite", *node.log.glob("*.log"), node.run / "lock"}
    assert wanted <= set(files)
    assert [path for path in files if path.suffix == ".cmdline"]
    for path in files:
        content = path.read_bytes()
        for secret in secrets:
            assert secret.encode() not in content, f"{path} holds a secret"
    for result in results:
        for secret in secrets:
            assert secret not in result.stdout + result.stderr


@pytest.mark.parametrize("outcome", ["success", "failed"])
def test_a_signed_url_is_nowhere_once_the_signal_is_delivered(based: Node, outcome: str) -> None:
    script = spy(based) + ("exit 1" if outcome == "failed" else "")
    based.offer(Deb("tool", "2.0-1", scripts={"postinst": script}))
    based.step("pre-update.d/10-spy", spy(based))
    result = based.deliver("UPDATE", "v2")
    assert (result.status == 0) == (outcome == "success")
    assert SIGNATURE in result.received[0].path
    assert_nowhere(based, [SIGNATURE], result)


def test_a_password_is_nowhere_once_the_signal_is_delivered(based: Node, heat: SignalServer) -> None:
    based.offer(Deb("tool", "2.0-1", scripts={"postinst": spy(based)}))
    based.step("pre-update.d/10-spy", spy(based))
    result = based.succeed("UPDATE", "v2", deploy_signal_id=None, **heat_signal(heat))
    (signal,) = heat.to("/heat/")
    assert signal.body.decode() == result.stdout
    assert_nowhere(based, [PASSWORD, json.dumps(PASSWORD)[1:-1], SIGNATURE], result)


def test_a_url_that_is_refused_for_good_is_nowhere_either(based: Node) -> None:
    based.step("pre-update.d/10-spy", spy(based))
    based.offer(TWO)
    based.receiver.answer(403)
    result = based.succeed("UPDATE", "v2")
    assert_nowhere(based, [SIGNATURE], result)


def test_what_is_still_owed_is_for_the_agent_s_eyes_only(based: Node) -> None:
    based.receiver.answer(503)
    based.offer(TWO)
    based.succeed("UPDATE", "v2")
    for directory in (based.state, based.log, based.run):
        assert directory.stat().st_mode & 0o077 == 0, f"{directory} is open to others"
    for file in (based.state / "ledger.sqlite", *based.log.glob("*.log")):
        assert file.stat().st_mode & 0o077 == 0, f"{file} is open to others"
