"""Nothing that fails after a result was stored changes the answer (law 11); each fault happens in the real hook."""

import json
import os
import signal
import sqlite3
from typing import Any, Dict, List, Tuple

import pytest

from delivery.server import PASSWORD, PROJECT, USER, SignalServer
from os_update_agent.testing.receiver import Reply, Request
from os_update_agent.testing.repository import Deb
from packages.node import CHECKOUT, RESOURCE, STACK, VERSIONS_ONE, Node, Result, Running, wait_until

# Python runs this before the program. It replaces functions, and hides libraries, in the hook's process alone.
_SITE = """
import sys
if b"package-update" in open("/proc/self/cmdline", "rb").read():
    class Hidden:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in {hidden!r}:
                raise ImportError(name)
    sys.meta_path.insert(0, Hidden())
    import importlib
    def fail(*_, **__):
        {fault}
    for place in {broken!r}:
        module, _, name = place.partition(":")
        owner = importlib.import_module("os_update_agent." + module)
        for part in name.split(".")[:-1]:
            owner = getattr(owner, part)
        setattr(owner, name.split(".")[-1], fail)
"""
_BUG = 'raise RuntimeError("made by the test")'

# A small file system over each directory where temporary files could go, and no byte left on it. The node's own
# directory stays where it is, and so does the checkout, which may lie below /tmp.
_NO_ROOM = """set -e
node=$1; checkout=$2; shift 2
mount -t tmpfs tmpfs /mnt
keep=/mnt
mkdir "$keep/node" "$keep/checkout"
mount --bind "$node" "$keep/node"
mount --bind "$checkout" "$keep/checkout"
mount -t tmpfs -o size=64k tmpfs /tmp
mkdir -p "$node" "$checkout"
mount --bind "$keep/node" "$node"
mount --bind "$keep/checkout" "$checkout"
dd if=/dev/zero of=/tmp/filler bs=4096 2>/dev/null || true
mount --bind /tmp /var/tmp
cd /tmp
exec "$@"
"""
_FULL_RUN = """set -e
run=$1; shift
mkdir -p -m 0700 "$run"
mount -t tmpfs -o size=64k,mode=0700 tmpfs "$run"
dd if=/dev/zero of="$run/filler" bs=4096 2>/dev/null || true
exec "$@"
"""


def breaking(node: Node, *broken: str, hidden: Tuple[str, ...] = (), fault: str = _BUG) -> None:
    """Have functions ("module:name") of the hook fail from now on, and imports of libraries."""
    place = node.directory / "site"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(_SITE.format(broken=broken, hidden=hidden, fault=fault), encoding="utf-8")
    node.wrapper = ("env", f"PYTHONPATH={place}:{CHECKOUT / 'agent'}")


def collect_from(node: Node, text: str) -> None:
    """What os-collect-config.conf of the node says, which has no other."""
    conf = node.directory / "os-collect-config.conf"
    conf.write_text(text, encoding="utf-8")
    node.conf.write_text(
        node.conf.read_text(encoding="utf-8").replace("[paths]\n", f"[paths]\ncollect_config = {conf}\n"),
        encoding="utf-8",
    )


def listing(node: Node, *config_ids: str) -> None:
    """Heat lists these deployments for the server, and the real os-collect-config fetches the list."""
    entries: List[Dict[str, Any]] = [
        {
            "id": config_id,
            "creation_time": "2026-11-23T06:44:36Z",
            "inputs": [
                {"name": "deploy_stack_id", "value": STACK},
                {"name": "deploy_resource_name", "value": RESOURCE},
            ],
        }
        for config_id in config_ids
    ]

    def answer(request: Request) -> Reply:
        return (200, json.dumps({"deployments": entries}).encode()) if request.method != "POST" else 200

    node.receiver.answer(answer)
    collect_from(node, f"[request]\nmetadata_url = {node.receiver.url('/metadata')}\n")


def posts(node: Node) -> List[str]:
    return [request.body.decode() for request in node.receiver.received if request.method == "POST"]


def assert_told(node: Node, result: Result, status: int = 0) -> None:
    """The stored result is the answer, and Heat has it, once."""
    assert result.returncode == 0, result.stderr
    assert result.status == status, result.complaint
    assert "bug" not in result.complaint
    node.wait_until_at_rest()
    assert node.signals()[result.id].body == result.stdout
    assert posts(node) == [result.stdout]
    assert node.signals()[result.id].standing == "delivered"


def assert_still_owed(node: Node, result: Result, status: int = 0) -> None:
    """The stored result is the answer, and the next who comes sends it."""
    assert result.returncode == 0, result.stderr
    assert result.status == status, result.complaint
    assert node.signals()[result.id].standing == "owed"
    assert posts(node) == []
    node.wrapper = ()
    again = Running(node, {**node.deployment("UPDATE", "v1"), "id": result.id}, ()).wait()
    assert again.stdout == result.stdout
    assert posts(node) == [result.stdout]


def test_without_room_for_temporary_files_a_reached_value_is_answered_and_told(based: Node) -> None:
    deployment = based.deployment("UPDATE", "v1")
    listing(based, deployment["id"])
    based.wrapper = ("unshare", "--mount", "sh", "-c", _NO_ROOM, "sh", str(based.directory), str(CHECKOUT))
    result = based.start_with(deployment).wait()
    assert_told(based, result)
    # The list was really read: it says whether Heat waits.
    assert [request for request in based.receiver.received if request.path == "/metadata"]


def test_without_room_for_temporary_files_a_superseded_result_is_dropped_all_the_same(based: Node) -> None:
    listing(based, "another")
    based.wrapper = ("unshare", "--mount", "sh", "-c", _NO_ROOM, "sh", str(based.directory), str(CHECKOUT))
    result = based.deliver("UPDATE", "v1")
    assert result.status == 0
    assert posts(based) == []
    assert based.signals()[result.id].standing == "superseded"


@pytest.mark.parametrize("action, value", [("UPDATE", "v1"), ("DELETE", "v2"), ("UPDATE", "")])
def test_a_note_that_a_full_run_directory_does_not_take_stops_no_delivery(based: Node, action: str, value: str) -> None:
    """As /run is a tmpfs, a log or a core in it can fill it."""
    based.wrapper = ("unshare", "--mount", "sh", "-c", _FULL_RUN, "sh", str(based.run))
    assert_told(based, based.deliver(action, value))


def test_an_update_that_a_full_run_directory_stops_names_the_disk_and_changes_nothing(based: Node) -> None:
    based.offer_two()
    based.wrapper = ("unshare", "--mount", "sh", "-c", _FULL_RUN, "sh", str(based.run))
    failed = based.deliver("UPDATE", "v2")
    assert failed.status not in (0, 70) and "bug" not in failed.complaint
    assert "No space left on device" in failed.complaint and "nothing was changed" in failed.complaint
    assert posts(based) == [failed.stdout]


def refuse_signals(node: Node) -> None:
    """Heat refuses the signed URL, and the node has credentials to sign it anew."""
    node.receiver.answer(403)
    collect_from(
        node,
        f"[cfn]\nmetadata_url = {node.receiver.url('/v1/')}\naccess_key_id = key\nsecret_access_key = secret\n"
        "stack_name = web\npath = node.Metadata\n",
    )


def test_without_keystoneclient_a_refused_url_is_signed_anew_and_the_stored_result_is_the_answer(based: Node) -> None:
    refuse_signals(based)
    breaking(based, hidden=("keystoneclient",))
    result = based.deliver("UPDATE", "v1")
    assert result.status == 0, result.complaint
    first, *_, last = (request.path for request in based.receiver.received if request.method == "POST")
    assert "AWSAccessKeyId=key" not in first and "AWSAccessKeyId=key" in last
    assert based.signals()[result.id].standing == "refused"
    assert set(posts(based)) == {result.stdout}


def test_without_keystoneclient_the_servers_own_user_still_tells_heat(based: Node) -> None:
    refuse_signals(based)
    breaking(based, hidden=("keystoneclient",))
    with SignalServer() as heat, (based.directory / "os-collect-config.conf").open("a", encoding="utf-8") as conf:
        conf.write(f"[heat]\nauth_url = {heat.url}/v3\nuser_id = {USER}\npassword = {PASSWORD}\n")
        conf.write(f"project_id = {PROJECT}\nstack_id = {STACK}\nresource_name = server\n")
        conf.flush()
        result = based.deliver("UPDATE", "v1")
        (told,) = [request for request in heat.to("/heat/") if request.method == "POST"]
    assert told.body.decode() == result.stdout
    assert based.signals()[result.id].standing == "delivered"


@pytest.mark.parametrize(
    "place", ["delivery.outbox:is_current", "delivery.answer:overtaken_on_arrival", "delivery.outbox:forget_signal"]
)
def test_a_bug_beside_the_sending_changes_neither_the_answer_nor_the_signal(based: Node, place: str) -> None:
    listing(based)
    breaking(based, place)
    assert_told(based, based.deliver("UPDATE", "v1"))


def test_a_bug_while_the_caller_waits_for_its_worker_is_no_result(based: Node) -> None:
    based.offer(Deb("tool", "2.0-1"))
    breaking(based, "delivery.deliver:get_ready")
    result = based.deliver("UPDATE", "v2")
    assert based.versions()["tool"] == "2.0-1"
    assert_told(based, result)


@pytest.mark.parametrize("fault", [
    _BUG,
    "from os_update_agent.model.errors import LedgerError; raise LedgerError('busy')",
    "from os_update_agent.model.errors import AgentError; raise AgentError('the lock cannot be opened')",
])  # fmt: skip
def test_a_caller_that_fails_leaves_the_result_to_its_worker(based: Node, fault: str) -> None:
    """The worker is at work on the delivery by then, and its result is the true one."""
    based.offer(Deb("tool", "2.0-1"))
    breaking(based, "delivery.supervise:_pause", fault=fault)
    result = based.deliver("UPDATE", "v2")
    assert based.versions()["tool"] == "2.0-1"
    assert_told(based, result)


@pytest.mark.parametrize("fault", [_BUG, "raise OSError(28, 'No space left on device')", "import no_such_module"])
@pytest.mark.parametrize(
    "place", ["delivery.outbox:send", "delivery.outbox:sending_claim", "delivery.answer:deliver_signal"]
)
def test_a_bug_in_the_sending_leaves_the_stored_result_owed(based: Node, place: str, fault: str) -> None:
    breaking(based, place, fault=fault)
    assert_still_owed(based, based.deliver("UPDATE", "v1"))


def test_a_bug_in_the_sending_does_not_replace_the_reason_of_a_failed_restore(based: Node) -> None:
    based.offer(Deb("tool", "2.0-1"))
    based.succeed("UPDATE", "v2")
    based.step("pre-update.d/10-no", "echo the cluster has no quorum; exit 1")
    based.receiver.received.clear()
    based.receiver.answer(503)
    breaking(based, "delivery.outbox:is_current", "delivery.outbox:send", "delivery.answer:send")
    failed = based.deliver("UPDATE", "v1")
    assert "restore of 'v1' failed" in failed.complaint and "10-no" in failed.complaint
    assert "RuntimeError" not in failed.complaint
    assert based.signals()[failed.id].body == failed.stdout


def test_a_ledger_that_cannot_note_what_heat_took_changes_no_answer_and_sends_nothing_twice(based: Node) -> None:
    full = 'import sqlite3; from os_update_agent.model.errors import LedgerError; raise LedgerError("disk is full")'
    breaking(based, "ledger.deliveries:Deliveries.settle", fault=full)
    result = based.deliver("UPDATE", "v1")
    assert result.status == 0 and "nothing to do" in result.told
    assert posts(based) == [result.stdout]
    assert based.signals()[result.id].standing == "owed"
    based.wrapper = ()
    based.succeed("UPDATE", "v1", resource="another")
    based.wait_until_at_rest()
    assert posts(based).count(result.stdout) == 1
    assert [body for body in posts(based) if json.loads(body)["deploy_status_code"] != 0] == []


@pytest.mark.parametrize("name", ["no/such/directory/agent.prom", "taken.prom"])
def test_metrics_that_cannot_be_written_change_no_answer(based: Node, name: str) -> None:
    (based.directory / "taken.prom").mkdir()
    based.conf.write_text(
        based.conf.read_text(encoding="utf-8").replace("[paths]\n", f"[paths]\nmetrics = {based.directory / name}\n"),
        encoding="utf-8",
    )
    assert_told(based, based.deliver("UPDATE", "v1"))


def test_a_bug_in_the_metrics_changes_no_answer(based: Node) -> None:
    based.conf.write_text(
        based.conf.read_text(encoding="utf-8").replace(
            "[paths]\n", f"[paths]\nmetrics = {based.directory / 'agent.prom'}\n"
        ),
        encoding="utf-8",
    )
    breaking(based, "delivery.metrics:publish")
    assert_told(based, based.deliver("UPDATE", "v1"))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "\x00", "[cfn]\n", "[cfn]\nmetadata_url = http://127.0.0.1:1/\n", "[request]\n"]
)
def test_an_odd_configuration_of_the_collector_changes_no_answer(based: Node, text: str) -> None:
    collect_from(based, text)
    assert_told(based, based.deliver("UPDATE", "v1"))


@pytest.mark.parametrize("content", [b"", b"no JSON", b"[" * 100_000, b'{"deployments": 5}', b"\xff\xfe"])
def test_metadata_that_are_none_change_no_answer(based: Node, content: bytes) -> None:
    listing(based)
    based.receiver.answer(lambda request: 200 if request.method == "POST" else (200, content))
    assert_told(based, based.deliver("UPDATE", "v1"))


def test_a_copy_of_heat_config_that_cannot_be_replaced_changes_no_answer(
    based: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = based.deployment("UPDATE", "v1")
    copies = based.directory / "deployed"
    (copies / f"{deployment['id']}.json").mkdir(parents=True)
    monkeypatch.setenv("HEAT_CONFIG_DEPLOYED", str(copies))
    assert_told(based, based.start_with(deployment).wait())


@pytest.mark.parametrize("closing", ['exec "$@" >&-', 'exec "$@" > /dev/full'])
def test_a_result_that_nobody_can_read_is_stored_and_told(based: Node, closing: str) -> None:
    based.wrapper = ("sh", "-c", closing, "sh")
    result = based.start("UPDATE", "v1").wait()
    assert result.returncode == 1
    assert result.stdout == ""
    assert "Traceback" not in result.stderr and "printed=no" in result.stderr
    (body,) = posts(based)
    assert based.signals()[result.id].body == body


def test_an_interrupt_in_the_sending_leaves_the_stored_result_as_the_answer(based: Node) -> None:
    based.configure(signal_timeout=600)
    based.receiver.answer(503)
    # A test run in the background has SIGINT ignored, and its children would inherit that.
    based.wrapper = ("env", "--default-signal=INT")
    running = based.start("UPDATE", "v1")
    wait_until(lambda: bool(posts(based)), "the first try")
    wait_until(lambda: based.signals()[running.id].tries > 0, "its answer")
    os.kill(running.pid, signal.SIGINT)
    result = running.wait()
    assert result.returncode == 0 and result.status == 0
    assert based.signals()[running.id].body == result.stdout
    assert based.signals()[running.id].standing == "owed"


@pytest.mark.parametrize("place", [
    *("delivery.deliver:open_site", "delivery.deliver:_policy", "delivery.deliver:_receive", "hook:parse"),
    *("delivery.supervise:see_through", "delivery.result:encode"),
])  # fmt: skip
def test_a_bug_before_there_is_a_result_is_told_to_heat_as_a_failure(based: Node, place: str) -> None:
    breaking(based, place)
    failed = based.deliver("UPDATE", "v1")
    assert failed.status != 0 and "bug in os-update-agent: RuntimeError" in failed.complaint
    assert "made by the test" not in failed.stdout + failed.stderr
    assert based.versions() == VERSIONS_ONE
    # Nobody knows whom to tell before the deployment is read.
    assert posts(based) == ([] if place == "hook:parse" else [failed.stdout])


def test_without_a_ledger_a_bug_in_the_sending_still_prints_the_failure(based: Node) -> None:
    with sqlite3.connect(based.state / "ledger.sqlite") as db:
        db.execute("PRAGMA user_version=99")
    breaking(based, "delivery.answer:send")
    failed = based.deliver("UPDATE", "v2")
    assert failed.status == 1 and "schema 99" in failed.complaint and "nothing was changed" in failed.complaint
