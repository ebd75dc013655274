"""One try to send a signal, against a real server on the loopback: what arrives, what the answer means, and that no
secret shows.
"""

import json
import logging
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Callable, Iterator, Tuple

import pytest

from delivery.server import PASSWORD, PROJECT, TOKEN, USER, Behaviour, SignalServer
from os_update_agent.heat import signal
from os_update_agent.heat.signal import send
from os_update_agent.heat.signal_answers import AGAIN, DELIVERED, NEVER, Answer
from os_update_agent.model.deliveries import SignalTarget

BODY = '{"deploy_stdout": "gr\\u00fc\\u00dfe", "deploy_stderr": "", "deploy_status_code": 0}'
SIGNATURE = "bWFkZS11cC1zaWduYXR1cmU%2B%2F%3D"
# As Heat makes it: an escaped ARN, colons and slashes escaped or not, a signature with escapes.
TARGET = (
    "/v1/signal/arn%3Aopenstack%3Aheat%3A%3A0123%3Astacks/s~1/68c97fbe-e752/resources/it's(1)!*,;:@$"
    f"?SignatureMethod=HmacSHA256&AWSAccessKeyId=4567&Timestamp=2026-11-22T09%3A56%3A30Z&x=a+b&Signature={SIGNATURE}"
)
Make = Callable[[str], SignalTarget]
STACK, RESOURCE = "my stack/68c97fbe-e752", "the server & ü/1"
SIGNAL_PATH = f"/heat/v1/{PROJECT}/stacks/my%20stack/68c97fbe-e752/resources/the%20server%20%26%20%C3%BC%2F1/signal"


@pytest.fixture
def server() -> Iterator[SignalServer]:
    with SignalServer() as running:
        yield running


@pytest.fixture
def closed_port() -> Iterator[str]:
    """The URL of a port where nobody listens: bound by us, so nobody else takes it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
    ):
        monkeypatch.delenv(name, raising=False)


def cfn(root: str) -> SignalTarget:
    return SignalTarget("CFN_SIGNAL", "stack/1", "node", "POST", {"url": root + TARGET})


def temp_url(root: str) -> SignalTarget:
    return SignalTarget("TEMP_URL_SIGNAL", "stack/1", "node", "PUT", {"url": root + TARGET})


def heat(root: str, **changes: str) -> SignalTarget:
    secret = {"auth_url": f"{root}/v3", "username": "u", "user_id": USER, "password": PASSWORD, "project_id": PROJECT}
    return SignalTarget("HEAT_SIGNAL", STACK, RESOURCE, "POST", {**secret, "region_name": "RegionOne", **changes})


def zaqar(root: str) -> SignalTarget:
    return SignalTarget("ZAQAR_SIGNAL", STACK, RESOURCE, "POST", {**heat(root).secret, "queue_id": "queue-1"})


def holds_a_secret(text: str) -> bool:
    return any(secret in text for secret in (SIGNATURE, "bWFkZS", PASSWORD, TOKEN, "AWSAccessKeyId", "made%5Eup"))


# What arrives


@pytest.mark.parametrize(("make", "method"), [(cfn, "POST"), (temp_url, "PUT")])
def test_the_url_and_the_body_arrive_byte_for_byte(server: SignalServer, make: Make, method: str) -> None:
    assert send(make(server.url), BODY) == Answer(DELIVERED, "the server answered 200")
    (request,) = server.requests
    assert (request.method, request.target, request.body) == (method, TARGET, BODY.encode())
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(len(BODY))


@pytest.mark.parametrize(("make", "verb"), [(cfn, "PUT"), (temp_url, "POST")])
def test_the_verb_of_the_delivery_counts(server: SignalServer, make: Make, verb: str) -> None:
    target = make(server.url)
    send(SignalTarget(target.transport, verb=verb, secret=target.secret), BODY)
    assert server.requests[0].method == verb


def test_a_heat_signal_logs_in_and_posts_the_same_bytes_to_heat(server: SignalServer) -> None:
    assert send(heat(server.url), BODY) == Answer(DELIVERED, "the server answered 200")
    login, request = server.requests
    assert (login.method, login.target) == ("POST", "/v3/auth/tokens")
    assert (request.method, request.target, request.body) == ("POST", SIGNAL_PATH, BODY.encode())
    assert request.headers["content-type"] == "application/json"


def test_without_a_region_any_public_endpoint_is_taken(server: SignalServer) -> None:
    target = heat(server.url)
    secret = {name: value for name, value in target.secret.items() if name != "region_name"}
    assert send(SignalTarget("HEAT_SIGNAL", STACK, RESOURCE, secret=secret), BODY).verdict == DELIVERED


def test_the_endpoint_of_the_named_region_is_taken(server: SignalServer) -> None:
    server.regions = ("Elsewhere", "RegionOne")
    assert send(heat(server.url), BODY).verdict == DELIVERED
    server.regions = ("Elsewhere",)
    answer = send(heat(server.url), BODY)
    assert answer == Answer(NEVER, "keystone lists no public endpoint of the service that takes the signal")


def test_an_auth_url_without_a_version_works_too(server: SignalServer) -> None:
    assert send(heat(server.url, auth_url=server.url), BODY).verdict == DELIVERED


# Objects that Heat ignores

CREATED, EARLIER, SAME, LATER = "2026-11-30T10:00:05Z", *(f"Mon, 30 Nov 2026 10:00:{s} GMT" for s in ("04", "05", "07"))


@pytest.mark.parametrize(
    ("last_modified", "date", "verdict"),
    [
        (EARLIER, LATER, AGAIN),
        (SAME, LATER, AGAIN),
        (LATER, EARLIER, DELIVERED),
        ("", EARLIER, AGAIN),
        ("", LATER, DELIVERED),
        ("", "", DELIVERED),
        ("yesterday", "soon", DELIVERED),
        ("yesterday", EARLIER, AGAIN),
        ("x" * 60_000, LATER, DELIVERED),
        ("Mon, 99 Nov 999999999999999999999 10:00:00 GMT", "", DELIVERED),
    ],
)
def test_an_object_counts_if_it_is_later_than_its_deployment(
    server: SignalServer, last_modified: str, date: str, verdict: str
) -> None:
    server.behaviour, server.last_modified, server.date = 201, last_modified, date
    target = replace(temp_url(server.url), created=CREATED)
    answer = send(target, BODY)
    assert answer.verdict == verdict
    assert not holds_a_secret(answer.reason)
    assert ("the clock of the object store is behind that of Heat" in answer.reason) == (verdict == AGAIN)


@pytest.mark.parametrize("created", ["", "soon", "9" * 40])
def test_without_the_time_of_the_deployment_the_status_decides(server: SignalServer, created: str) -> None:
    server.behaviour, server.last_modified = 201, EARLIER
    assert send(replace(temp_url(server.url), created=created), BODY) == Answer(DELIVERED, "the server answered 201")


def test_an_object_that_was_refused_is_refused_whatever_its_time(server: SignalServer) -> None:
    server.behaviour, server.last_modified = 404, EARLIER
    assert send(replace(temp_url(server.url), created=CREATED), BODY).verdict == NEVER


def test_other_transports_have_no_objects(server: SignalServer) -> None:
    server.last_modified = EARLIER
    assert send(replace(cfn(server.url), created=CREATED), BODY).verdict == DELIVERED


# What an answer means

STATUSES = {
    200: DELIVERED,
    201: DELIVERED,
    202: DELIVERED,
    204: DELIVERED,
    301: NEVER,
    302: NEVER,
    307: NEVER,
    308: NEVER,
    400: NEVER,
    403: NEVER,
    404: NEVER,
    408: AGAIN,
    409: AGAIN,
    410: NEVER,
    413: NEVER,
    425: AGAIN,
    429: AGAIN,
    500: AGAIN,
    502: AGAIN,
    503: AGAIN,
    504: AGAIN,
}


@pytest.mark.parametrize(("status", "verdict"), STATUSES.items())
@pytest.mark.parametrize("make", [cfn, temp_url, heat])
def test_each_status_has_its_verdict_after_exactly_one_request(
    server: SignalServer, make: Make, status: int, verdict: str
) -> None:
    server.behaviour = status
    answer = send(make(server.url), BODY)
    assert answer.verdict == verdict
    assert str(status) in answer.reason
    assert len(server.to("/v1") + server.to("/heat")) == 1
    assert server.to("/elsewhere") == []


@pytest.mark.parametrize(
    "url", ["https://[[::1]/", "http://[127.0.0.1:80/x", "http:///x", "heat.invalid/x", "http://h:x/"]
)
def test_a_url_that_is_none_never_will_be_one(url: str) -> None:
    answer = send(SignalTarget("CFN_SIGNAL", verb="POST", secret={"url": url}), BODY)
    assert answer.verdict == NEVER and "heat.invalid" not in answer.reason


@pytest.mark.parametrize("make", [cfn, temp_url])
def test_a_signed_url_that_is_not_accepted_never_will_be(server: SignalServer, make: Make) -> None:
    server.behaviour = 401
    assert send(make(server.url), BODY).verdict == NEVER


@pytest.mark.parametrize("make", [cfn, temp_url, heat])
def test_a_stack_that_is_probably_gone_is_named(server: SignalServer, make: Make) -> None:
    for status in (401, 404):
        # With a token that keystone has just given, 401 says nothing of the stack.
        if (make, status) != (heat, 401):
            server.behaviour = status
            reason = send(make(server.url), BODY).reason
            assert f"answered {status}" in reason and "the stack or its user is probably gone" in reason


def test_an_expired_cfn_url_is_explained(server: SignalServer) -> None:
    server.behaviour = 403
    assert (
        send(cfn(server.url), BODY).reason
        == "the server answered 403: the URL has probably expired (keystone's default is 15 minutes)"
    )


def test_a_wrong_password_never_works(server: SignalServer) -> None:
    answer = send(heat(server.url, password="another-made-up-one"), BODY)
    said = "keystone answered 401: the deployment's user or password is not accepted"
    assert answer == Answer(NEVER, f"{said}; the stack or its user is probably gone")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (500, AGAIN),
        (503, AGAIN),
        (429, AGAIN),
        (404, NEVER),
        (403, NEVER),
        (302, NEVER),
        ("text", AGAIN),
        ("drop", AGAIN),
    ],
)
def test_an_answer_of_keystone_has_its_verdict_and_heat_is_not_asked(
    server: SignalServer, status: int, verdict: str
) -> None:
    server.keystone = status
    assert send(heat(server.url), BODY).verdict == verdict
    assert len(server.requests) == 1


def test_a_token_that_heat_does_not_know_yet_may_work_later(
    server: SignalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delivery.server.TOKEN", "another")
    server.behaviour = 401
    assert send(heat(server.url), BODY).verdict == AGAIN
    assert len(server.to("/heat")) == 1


@pytest.mark.parametrize("make", [cfn, temp_url, heat])
def test_a_closed_port_may_open(closed_port: str, make: Make) -> None:
    answer = send(make(closed_port), BODY)
    assert answer.verdict == AGAIN
    assert answer.reason in ("no answer: ConnectionError", "no answer: ConnectFailure")


@pytest.mark.parametrize("proxy", ["http://proxy:80800", "http://", "proxy:port", "http://[::1", "http://\udcff"])
def test_a_mistyped_proxy_may_be_corrected(server: SignalServer, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    target = cfn(server.url.replace("127.0.0.1", "heat.example"))
    answer = send(target, "{}")
    assert answer.verdict == AGAIN and "no answer" in answer.reason
    monkeypatch.delenv("http_proxy")


@pytest.mark.parametrize("make", [cfn, temp_url, heat])
def test_a_connection_that_is_dropped_may_hold_next_time(server: SignalServer, make: Make) -> None:
    server.behaviour = "drop"
    assert send(make(server.url), BODY).verdict == AGAIN
    assert len(server.to("/v1") + server.to("/heat")) == 1


@pytest.mark.parametrize("make", [cfn, heat])
@pytest.mark.parametrize("behaviour", ["hang", "trickle"])
def test_a_server_that_does_not_answer_is_left_in_time(
    server: SignalServer, make: Make, behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "GRACE", 0.5)
    server.behaviour = behaviour
    start = time.monotonic()
    assert send(make(server.url), BODY, connect=0.5, read=0.5).verdict == AGAIN
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("behaviour", ["hang", "trickle"])
def test_a_keystone_that_does_not_answer_is_left_in_time(
    server: SignalServer, behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "GRACE", 0.5)
    server.keystone = behaviour
    start = time.monotonic()
    assert send(heat(server.url), BODY, connect=0.5, read=0.5).verdict == AGAIN
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("make", [cfn, heat])
def test_an_answer_without_an_end_is_not_read(server: SignalServer, make: Make) -> None:
    server.behaviour = "endless"
    start = time.monotonic()
    assert send(make(server.url), BODY, connect=5, read=5).verdict == DELIVERED
    assert time.monotonic() - start < 5


# What is not sent


@pytest.mark.parametrize(("size", "verdict", "arrived"), [(1024 * 1024, DELIVERED, 1), (1024 * 1024 + 1, NEVER, 0)])
def test_a_body_is_at_most_what_heat_accepts(server: SignalServer, size: int, verdict: str, arrived: int) -> None:
    assert send(cfn(server.url), "x" * size).verdict == verdict
    assert len(server.requests) == arrived


def test_without_a_transport_nobody_waits() -> None:
    assert send(SignalTarget("NO_SIGNAL"), BODY) == Answer(DELIVERED, "nobody waits for a signal")


def test_an_unknown_transport_never_works() -> None:
    assert send(SignalTarget("PIGEON_SIGNAL"), BODY) == Answer(NEVER, "the transport 'PIGEON_SIGNAL' is unknown")


def test_a_target_whose_secret_was_wiped_never_works() -> None:
    assert send(SignalTarget("CFN_SIGNAL"), BODY).verdict == NEVER


@pytest.mark.parametrize("url", ["http://", "no url", "ftp://127.0.0.1/x", "http://[::1", "http://127.0.0.1:99999/"])
def test_a_url_that_is_none_is_answered_too(url: str) -> None:
    assert send(SignalTarget("CFN_SIGNAL", secret={"url": url}), BODY).verdict in (NEVER, AGAIN)


@pytest.mark.parametrize(
    ("module", "make", "reason"),
    [
        ("requests", cfn, "python3-requests is not installed"),
        ("keystoneauth1", heat, "python3-keystoneauth1 is not installed"),
        ("keystoneauth1", zaqar, "python3-keystoneauth1 is not installed"),
    ],
)
def test_a_library_that_is_missing_is_named(
    module: str, make: Make, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert send(make("http://127.0.0.1:9"), BODY) == Answer(NEVER, reason)


def test_a_queue_takes_the_message(server: SignalServer) -> None:
    server.behaviour = 201
    assert send(zaqar(server.url), BODY) == Answer(DELIVERED, "the queue took the message")
    (request,) = server.to("/zaqar")
    assert (request.method, request.target) == ("POST", "/zaqar/v2/queues/queue-1/messages")
    assert json.loads(request.body) == {"messages": [{"body": json.loads(BODY), "ttl": 600}]}
    # Zaqar answers 400 to a message without them.
    assert len(request.headers["client-id"]) == 32 and request.headers["x-project-id"] == PROJECT


@pytest.mark.parametrize(
    ("status", "verdict"), [(200, AGAIN), (400, NEVER), (404, NEVER), (500, AGAIN), (502, AGAIN), (503, AGAIN)]
)
def test_a_queue_that_does_not_take_it_has_its_verdict(server: SignalServer, status: int, verdict: str) -> None:
    server.behaviour = status
    assert send(zaqar(server.url), BODY).verdict == verdict


# TLS


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Tuple[str, str]:
    """A certificate that nobody has signed but itself, for 127.0.0.1, and its key."""
    assert shutil.which("openssl"), "openssl is missing: tests/run installs it"
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    argv = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    argv += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert]
    subprocess.run(argv, check=True, capture_output=True)
    return cert, key


_AUTHORITY = """
[ca]
default_ca = own
[own]
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = extensions
[any]
commonName = supplied
[extensions]
subjectAltName = IP:127.0.0.1
"""


@pytest.fixture(scope="session")
def expired(tmp_path_factory: pytest.TempPathFactory, certificate: Tuple[str, str]) -> Tuple[str, str]:
    """The same key's certificate of 2020, and the key."""
    folder = tmp_path_factory.mktemp("expired")
    (folder / "index.txt").touch()
    (folder / "ca.conf").write_text(_AUTHORITY.format(folder=folder), encoding="utf-8")
    key, cert = certificate[1], str(folder / "cert.pem")
    request = ["openssl", "req", "-new", "-key", key, "-subj", "/CN=127.0.0.1", "-out", str(folder / "request.pem")]
    sign = ["openssl", "ca", "-batch", "-selfsign", "-config", str(folder / "ca.conf"), "-keyfile", key, "-notext"]
    sign += ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"]
    for argv in (request, [*sign, "-in", str(folder / "request.pem"), "-out", cert]):
        subprocess.run(argv, check=True, capture_output=True)
    return cert, key


@pytest.mark.parametrize("make", [cfn, temp_url, heat, zaqar])
def test_an_expired_certificate_is_no_failure_for_ever(expired: Tuple[str, str], make: Make) -> None:
    """Its owner may renew it. The result stays owed until then, and nothing is sent to the server."""
    with SignalServer(expired) as server:
        answer = send(make(server.url), BODY, ca_certificate=expired[0])
        assert answer.verdict == AGAIN
        assert "the server's certificate could not be verified" in answer.reason and "expired" in answer.reason
        assert server.requests == []


@pytest.mark.parametrize("make", [cfn, temp_url, heat])
def test_a_private_authority_is_trusted_only_when_it_is_named(certificate: Tuple[str, str], make: Make) -> None:
    with SignalServer(certificate) as server:
        refused = send(make(server.url), BODY)
        assert refused.verdict == AGAIN
        assert "ca_certificate" in refused.reason
        assert server.requests == []
        assert send(make(server.url), BODY, ca_certificate=certificate[0]).verdict == DELIVERED


def test_a_private_authority_is_trusted_for_the_queue_too(certificate: Tuple[str, str]) -> None:
    with SignalServer(certificate, behaviour=201) as server:
        assert send(zaqar(server.url), BODY).verdict == AGAIN
        assert send(zaqar(server.url), BODY, ca_certificate=certificate[0]).verdict == DELIVERED


@pytest.mark.parametrize("make", [cfn, heat])
def test_a_file_of_certificates_that_is_missing_is_named_as_the_reason(
    certificate: Tuple[str, str], make: Make, tmp_path: Path
) -> None:
    with SignalServer(certificate) as server:
        answer = send(make(server.url), BODY, ca_certificate=str(tmp_path / "none.pem"))
    assert answer.verdict == AGAIN
    assert "ca_certificate" in answer.reason


# Secrets


@pytest.mark.parametrize("make", [cfn, temp_url, heat, zaqar])
@pytest.mark.parametrize("behaviour", [200, 302, 401, 403, 500, "drop", "garble", "text", "hang"])
def test_no_secret_is_in_a_log_an_answer_or_on_the_terminal(
    server: SignalServer,
    make: Make,
    behaviour: Behaviour,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signal, "GRACE", 0.5)
    for name in (
        "",
        "urllib3",
        "urllib3.connectionpool",
        "requests",
        "keystoneauth",
        "keystoneauth.session",
        "keystoneauth.identity",
    ):
        caplog.set_level(logging.DEBUG, logger=name)
    stream = logging.StreamHandler()
    logging.getLogger().addHandler(stream)
    try:
        server.behaviour = behaviour
        answers = [send(make(server.url), BODY, connect=0.5, read=0.5)]
        server.keystone = behaviour
        answers.append(send(make(server.url), BODY, connect=0.5, read=0.5))
    finally:
        logging.getLogger().removeHandler(stream)
    said = caplog.text + "".join(capfd.readouterr()) + repr(answers) + repr(make(server.url))
    assert not holds_a_secret(said)


@pytest.mark.parametrize("make", [cfn, heat])
def test_no_secret_shows_when_nobody_listens(
    closed_port: str, make: Make, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = send(make(closed_port), BODY)
    assert not holds_a_secret(caplog.text + "".join(capfd.readouterr()) + repr(answer))


def test_a_bug_in_a_library_is_an_answer_and_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise TypeError(f"what is {SIGNATURE}?")

    monkeypatch.setitem(signal._WAYS, "CFN_SIGNAL", broken)
    answer = send(cfn("http://127.0.0.1:9"), BODY)
    assert answer == Answer(AGAIN, "the try ended with TypeError")
    assert not holds_a_secret(caplog.text + "".join(capfd.readouterr()))


def test_a_netrc_file_adds_nothing_to_a_signed_request(
    server: SignalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login u password p\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    send(cfn(server.url), BODY)
    assert "authorization" not in server.requests[0].headers


def test_the_libraries_are_imported_only_to_send() -> None:
    code = (
        "import sys; from os_update_agent.heat import signal;"
        "from os_update_agent.model.deliveries import SignalTarget;"
        "signal.send(SignalTarget('NO_SIGNAL'), '');"
        "sys.exit(any(name in sys.modules for name in ('requests', 'urllib3', 'keystoneauth1', 'ssl')))"
    )
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
