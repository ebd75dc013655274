"""Results that come too late, over a URL that is refused by now, after a restart of the chain, or twice: none goes
astray.
"""

import subprocess
from typing import Iterator

import pytest
import requests

from heat.client import inputs, wait_until
from heat.conftest import NewOne
from heat.lab import Lab
from heat.one import CFN, V1, V2, V3
from os_update_agent.testing.repository import Deb
from packages.node import VERSIONS_TWO


@pytest.fixture
def no_url_is_valid(lab: Lab) -> Iterator[None]:
    yield
    lab.restart_keystone()


def test_a_late_result_finishes_neither_the_rollback_nor_the_next_update(new_one: NewOne) -> None:
    """Heat addresses a signal by the resource's name: what comes after the timeout would finish whatever is in progress
    under it.
    """
    back, on = new_one("back", rollback=True), new_one("on", **CFN)
    before = back.server.apt.state()
    for one in (back, on):
        one.server.offer_two()
        # Behind the transaction: the rollback has only a minute too, and waits for the rest of this update. So it is
        # let go first.
        one.server.hold("health.d")
        one.update(V2, timeout=1)
    for one in (back, on):
        one.server.wait_until_held()
    wait_until(lambda: back.stack.status == "ROLLBACK_IN_PROGRESS", "the rollback", back.stack.story)
    back.wait_for_delivery("CREATE", V1)
    back.server.let_go()
    on.stack.wait_for("UPDATE_FAILED")
    on.server.offer(Deb("tool", "3.0-1"))
    on.update(V3, timeout=30)
    on.wait_for_delivery("CREATE", V3)
    on.server.let_go()

    back.stack.wait_for("ROLLBACK_COMPLETE")
    assert back.server.apt.state() == before
    assert V1 in back.stack.output("restored_from")
    on.stack.wait_for("UPDATE_COMPLETE")
    assert on.server.versions() == {**VERSIONS_TWO, "tool": "3.0-1"}
    assert V3 in on.stack.output("stdout")
    for one in (back, on):
        assert [signal.standing for signal in one.server.signals()] == ["delivered", "superseded", "delivered"]


@pytest.mark.parametrize(
    ("config_transport", "way"), [("POLL_SERVER_CFN", "CFN_SIGNAL"), ("POLL_SERVER_HEAT", "HEAT_SIGNAL")]
)
def test_a_result_whose_url_has_expired_goes_another_way(
    lab: Lab, new_one: NewOne, no_url_is_valid: None, config_transport: str, way: str
) -> None:
    one = new_one(signal_transport="CFN_SIGNAL", config_transport=config_transport)
    one.server.offer_two()
    one.server.hold()
    one.update(V2)
    one.server.wait_until_held()
    lab.restart_keystone(auth_ttl=0)
    (delivery,) = one.stack.deployments(one.stack.output("server"))
    assert requests.post(inputs(delivery)["deploy_signal_id"], json={}, timeout=60).status_code == 403
    one.server.let_go()
    one.stack.wait_for("UPDATE_COMPLETE")
    assert one.server.versions() == VERSIONS_TWO
    assert V2 in one.stack.output("stdout")
    assert f'instead={way} answer="the server answered 200"' in one.server.said()


def test_an_update_survives_a_restart_of_its_chain(new_one: NewOne) -> None:
    """As when an update brings a new os-collect-config: systemd ends the service, and heat-config does not run the hook
    again.
    """
    one = new_one()
    one.server.offer_two()
    one.server.hold()
    one.update(V2)
    one.server.wait_until_held()
    one.server.stop_polling()
    one.server.start_polling()
    one.server.let_go()
    one.stack.wait_for("UPDATE_COMPLETE")
    assert one.server.versions() == VERSIONS_TWO
    assert V2 in one.stack.output("stdout")


def test_what_comes_twice_is_done_and_told_once(new_one: NewOne) -> None:
    one = new_one(signal_transport="CFN_SIGNAL")
    stack, server = one.stack, one.server
    server.offer_two()
    one.update(V2)
    stack.wait_for("UPDATE_COMPLETE")
    (second,) = stack.deployments(stack.output("server"))
    done, told = (server.root / "var/log/dpkg.log").read_text(), stack.output("stdout")

    # heat-config has lost its marker: it runs the hook, and signals what the hook prints, once more.
    server.stop_polling()
    server.offer(Deb("tool", "3.0-1"))
    server.forget(second)
    server.poll(force=True)
    assert (server.root / "var/log/dpkg.log").read_text() == done
    assert (stack.status, stack.output("stdout")) == ("UPDATE_COMPLETE", told)
    server.start_polling()

    # Somebody sends the old result once more while the next update is in progress.
    server.hold()
    one.update(V3)
    server.wait_until_held()
    copy = server.directory / f"deployed/{second['id']}.json"
    with copy.with_suffix(".notify.json").open("rb") as result:
        argv = [str(server.directory / "bin/heat-config-notify"), str(copy)]
        subprocess.run(argv, stdin=result, env=server.environment(), check=True, capture_output=True, timeout=120)
    server.let_go()
    stack.wait_for("UPDATE_COMPLETE")
    assert server.versions() == {**VERSIONS_TWO, "tool": "3.0-1"}
    assert V3 in stack.output("stdout")
