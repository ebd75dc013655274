"""A signed URL that is refused, and what lies on the node to answer Heat all the same; with real requests to a real
server.
"""

from pathlib import Path
from typing import Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest
from keystoneclient.contrib.ec2.utils import Ec2Signer

from delivery.server import PASSWORD, PROJECT, USER, SignalServer
from os_update_agent.config.settings import Settings
from os_update_agent.delivery.outbox import Patience, deliver_signal
from os_update_agent.ledger import Ledger
from os_update_agent.model.deliveries import Delivery, SignalTarget
from os_update_agent.model.deliveries import Request as Asked
from os_update_agent.runtime.context import Site
from os_update_agent.testing.receiver import Receiver, Reply, Request

ONE_TRY = Patience(0.0)

ACCESS, KEY = "d4f120799b8a43b2887dc9ad082ddbf2", "own/secret+key"
BODY = '{"deploy_status_code": 0}'
PATH = "/v1/signal/arn%3Aopenstack%3Aheat%3A%3Ap%3Astacks/web/1/resources/node"
OLD = (
    "Timestamp=2026-11-22T09%3A56%3A42Z&SignatureMethod=HmacSHA256&AWSAccessKeyId=other"
    "&SignatureVersion=2&Signature=b2xk"
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    ledger = Ledger(tmp_path / "state/ledger.sqlite")
    yield Site(Settings(run=tmp_path / "run", collect_config=tmp_path / "occ.conf"), ledger)
    ledger.close()


def owe(site: Site, url: str) -> None:
    target = SignalTarget("CFN_SIGNAL", "web/1", "node", "POST", {"url": url})
    site.ledger.receive(Delivery("a", "key", "v1", "UPDATE", site.clock(), request=Asked(target)))
    site.ledger.finish("a", BODY, target, site.clock())


def keystone_would_take(request: Request) -> bool:
    """As keystone's EC2 extension looks at it: the right signature of the right key, and no time that is past."""
    parts = urlsplit(request.path)
    query = dict(parse_qsl(parts.query))
    given = query.pop("Signature", "")
    if "Timestamp" in query or query.get("AWSAccessKeyId") != ACCESS:
        return False
    asked = {
        "host": request.headers["host"],
        "verb": "POST",
        "path": "/v1/signal/arn:openstack:heat::p:stacks/web/1/resources/node",
    }
    return given == str(Ec2Signer(KEY).generate({**asked, "params": query}))


def test_an_expired_url_is_signed_anew_and_taken(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    def answer(request: Request) -> Reply:
        return (200 if keystone_would_take(request) else 403) if request.method == "POST" else 404

    with Receiver() as receiver:
        receiver.answer(answer)
        site.settings.collect_config.write_text(
            f"[cfn]\nmetadata_url = {receiver.url('/v1/')}\naccess_key_id = {ACCESS}\nsecret_access_key = {KEY}\n"
            "stack_name = web\npath = node.Metadata\n",
            encoding="utf-8",
        )
        owe(site, receiver.url(f"{PATH}?{OLD}"))
        assert deliver_signal(site, "a", ONE_TRY)
        posts = [request for request in receiver.received if request.method == "POST"]
        assert [keystone_would_take(request) for request in posts] == [False, True]
        assert {request.body.decode() for request in posts} == {BODY}
    (signal,) = site.ledger.signals("a")
    assert (signal.standing, signal.target) == ("delivered", None)
    assert KEY not in caplog.text and "Signature" not in caplog.text


def test_where_no_signature_helps_the_servers_own_user_tells_heat(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with SignalServer() as heat, Receiver() as cfn:
        cfn.answer(403)
        site.settings.collect_config.write_text(
            f"[heat]\nauth_url = {heat.url}/v3\nuser_id = {USER}\npassword = {PASSWORD}\nproject_id = {PROJECT}\n"
            "stack_id = web/1\nresource_name = server\n",
            encoding="utf-8",
        )
        owe(site, cfn.url(f"{PATH}?{OLD}"))
        assert deliver_signal(site, "a", ONE_TRY)
        (told,) = [request for request in heat.to("/heat/") if request.method == "POST"]
        assert told.target.endswith("/stacks/web/1/resources/node/signal") and told.body.decode() == BODY
    assert site.ledger.signals("a")[0].standing == "delivered"
    assert PASSWORD not in caplog.text


def test_without_credentials_a_refusal_is_one(site: Site) -> None:
    with Receiver() as receiver:
        receiver.answer(403)
        owe(site, receiver.url(f"{PATH}?{OLD}"))
        assert not deliver_signal(site, "a", ONE_TRY)
        assert len(receiver.received) == 1
    assert site.ledger.signals("a")[0].standing == "refused"
