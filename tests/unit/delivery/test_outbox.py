"""A result is sent until it is taken, refused or superseded; the clock and the network are made up."""

from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, List, Optional

import pytest

from os_update_agent.config.settings import Settings
from os_update_agent.delivery import execute, outbox
from os_update_agent.delivery.locks import SENDING_SECONDS, Wakes, only_sender, wake
from os_update_agent.delivery.outbox import TRY_SECONDS, Patience, deliver_signal, send_owed
from os_update_agent.delivery.rounds import LONGEST_PAUSE
from os_update_agent.heat.metadata import COLLECT_SECONDS
from os_update_agent.heat.signal import CONNECT_SECONDS, GRACE, READ_SECONDS
from os_update_agent.heat.signal_answers import AGAIN, DELIVERED, NEVER, Answer
from os_update_agent.heat.stored_objects import APART_SECONDS
from os_update_agent.ledger import Ledger
from os_update_agent.model.deliveries import Delivery, Request, SignalTarget
from os_update_agent.node.locks import Claim
from os_update_agent.runtime.context import Site

ONE_TRY = Patience(0.0)

BODY = '{"deploy_status_code": 0}'
BUSY, TAKEN, REFUSED = Answer(AGAIN, "503"), Answer(DELIVERED, "200"), Answer(NEVER, "403")


def target(resource: str = "node", url: str = "https://heat.example/secret") -> SignalTarget:
    return SignalTarget("CFN_SIGNAL", "stack/1", resource, secret={"url": url})


class Network:
    """Gives the answers in turn, the last one for ever; time passes only in pauses and, ``slow`` seconds each, in
    tries.
    """

    def __init__(self, *answers: Answer, slow: float = 0.0) -> None:
        self.answers = list(answers)
        self.slow = slow
        self.sent: List[SignalTarget] = []
        self.pauses: List[float] = []
        self.now = 1000.0
        self.before_try: Optional[Callable[[], None]] = None

    def send(self, where: SignalTarget, body: str, *, ca_certificate: Optional[str] = None) -> Answer:
        assert (body, ca_certificate) == (BODY, "/ca.pem")
        self.sent.append(where)
        self.now += self.slow
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def patience(self, total: float, jitter: float = 1.0) -> Patience:
        return Patience(total, self.sleep, lambda: self.now, lambda: jitter)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        if self.before_try:
            self.before_try()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    settings = Settings(run=tmp_path / "run", collect_config=tmp_path / "none", ca_certificate="/ca.pem")
    yield Site(settings, ledger, clock=lambda: 5.0)
    ledger.close()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Network]:
    def make(*answers: Answer, slow: float = 0.0) -> Network:
        made = Network(*answers, slow=slow)
        monkeypatch.setattr(outbox, "send", made.send)
        return made

    return make


def owe(site: Site, config_id: str, where: Optional[SignalTarget] = None) -> None:
    where = where or target()
    site.ledger.receive(Delivery(config_id, "key", "v1", "UPDATE", 1.0, request=Request(where)))
    site.ledger.finish(config_id, BODY, where, 2.0)


def standing(site: Site, config_id: str) -> "tuple[str, int, bool]":
    (signal,) = site.ledger.signals(config_id)
    return signal.standing, signal.tries, signal.target is not None


def test_what_is_taken_is_delivered_and_its_secrets_are_wiped(site: Site, network: Callable[..., Network]) -> None:
    net = network(TAKEN)
    owe(site, "a")
    assert deliver_signal(site, "a", net.patience(600))
    assert standing(site, "a") == ("delivered", 1, False)
    assert (net.sent, net.pauses) == ([target()], [])


OBJECT = SignalTarget("TEMP_URL_SIGNAL", "stack/1", "node", "PUT", {"url": "https://swift.example/secret"})


@pytest.mark.parametrize(
    ("received", "pauses"),
    [(4.8, [1.8]), (5.0, [APART_SECONDS]), (3.0, []), (1.0, []), (5000.0, [APART_SECONDS])],
    ids=["just now", "now", "long enough ago", "long ago", "the clock was put back"],
)
def test_an_object_is_stored_when_the_second_of_its_deployment_is_over(
    site: Site, network: Callable[..., Network], received: float, pauses: List[float]
) -> None:
    net = network(TAKEN)
    site.ledger.receive(Delivery("a", "key", "v1", "UPDATE", received, request=Request(OBJECT)))
    site.ledger.finish("a", BODY, OBJECT, 5.0)
    assert deliver_signal(site, "a", net.patience(0))
    assert net.pauses == [pytest.approx(pause) for pause in pauses]
    assert net.sent == [OBJECT]


def test_an_object_that_comes_too_early_delays_no_other_result(site: Site, network: Callable[..., Network]) -> None:
    net = network(TAKEN)
    site.ledger.receive(Delivery("a", "key", "v1", "UPDATE", 5.0, request=Request(OBJECT)))
    site.ledger.finish("a", BODY, OBJECT, 5.0)
    owe(site, "b", target("other"))
    assert send_owed(site, net.patience(600)) == ()
    assert [where.transport for where in net.sent] == ["CFN_SIGNAL", "TEMP_URL_SIGNAL"]


def test_an_object_that_heat_ignores_is_stored_again(site: Site, network: Callable[..., Network]) -> None:
    net = network(Answer(AGAIN, "201, but Heat ignores the object"), TAKEN)
    owe(site, "a", OBJECT)
    assert deliver_signal(site, "a", net.patience(600))
    assert standing(site, "a") == ("delivered", 2, False)


def test_what_is_delivered_is_not_sent_again(site: Site, network: Callable[..., Network]) -> None:
    net = network(TAKEN)
    owe(site, "a")
    deliver_signal(site, "a", ONE_TRY)
    assert not deliver_signal(site, "a", ONE_TRY)
    assert send_owed(site, ONE_TRY) == ()
    assert len(net.sent) == 1


def test_pauses_double_up_to_a_limit_and_end_with_the_patience(site: Site, network: Callable[..., Network]) -> None:
    net = network(BUSY)
    owe(site, "a")
    assert not deliver_signal(site, "a", net.patience(300))
    assert net.pauses == [1, 2, 4, 8, 16, 32, *[LONGEST_PAUSE] * 3]
    assert sum(net.pauses) <= 300
    assert standing(site, "a") == ("owed", len(net.pauses) + 1, True)


def test_jitter_takes_at_most_the_half_of_a_pause(site: Site, network: Callable[..., Network]) -> None:
    net = network(BUSY)
    owe(site, "a")
    deliver_signal(site, "a", net.patience(7, jitter=0.0))
    assert net.pauses == [0.5, 1, 2]


def test_slow_tries_count_for_the_patience(site: Site, network: Callable[..., Network]) -> None:
    net = network(BUSY, slow=40.0)
    owe(site, "a")
    deliver_signal(site, "a", net.patience(100))
    assert len(net.sent) == 3


def test_a_server_that_comes_back_gets_the_result(site: Site, network: Callable[..., Network]) -> None:
    net = network(BUSY, BUSY, TAKEN)
    owe(site, "a")
    assert deliver_signal(site, "a", net.patience(600))
    assert net.pauses == [1, 2]
    assert standing(site, "a") == ("delivered", 3, False)


def test_one_try_is_one_try(site: Site, network: Callable[..., Network]) -> None:
    net = network(BUSY)
    owe(site, "a")
    assert [signal.config_id for signal in send_owed(site, ONE_TRY)] == ["a"]
    assert (len(net.sent), standing(site, "a")) == (1, ("owed", 1, True))


def test_what_is_refused_for_good_is_not_tried_again_and_its_secrets_are_wiped(
    site: Site, network: Callable[..., Network]
) -> None:
    net = network(REFUSED)
    owe(site, "a")
    assert not deliver_signal(site, "a", net.patience(600))
    assert (net.pauses, standing(site, "a")) == ([], ("refused", 1, False))
    assert send_owed(site, ONE_TRY) == ()


def test_what_was_never_owed_is_not_sent(site: Site, network: Callable[..., Network]) -> None:
    net = network(TAKEN)
    assert not deliver_signal(site, "nobody", net.patience(600))
    assert net.sent == []


def test_a_newer_delivery_of_the_same_resource_supersedes_what_is_owed(
    site: Site, network: Callable[..., Network]
) -> None:
    """A signal is addressed by resource name: the late one would finish the new delivery."""
    net = network(BUSY)
    owe(site, "a")
    send_owed(site, ONE_TRY)
    owe(site, "b")
    assert standing(site, "a") == ("superseded", 1, False)
    net.sent.clear()
    assert [signal.config_id for signal in send_owed(site, ONE_TRY)] == ["b"]
    assert len(net.sent) == 1


def test_a_result_that_is_superseded_in_a_pause_is_dropped(site: Site, network: Callable[..., Network]) -> None:
    net = network(BUSY)
    owe(site, "a")
    net.before_try = lambda: owe(site, "b")
    assert not deliver_signal(site, "a", net.patience(600))
    assert (net.pauses, len(net.sent)) == ([1], 1)
    assert standing(site, "a") == ("superseded", 1, False)


def test_results_of_other_resources_stay_owed(site: Site, network: Callable[..., Network]) -> None:
    net = network(BUSY)
    owe(site, "a", target("one"))
    owe(site, "b", target("two"))
    assert {signal.config_id for signal in send_owed(site, ONE_TRY)} == {"a", "b"}
    net.answers = [TAKEN]
    assert send_owed(site, ONE_TRY) == ()


def test_the_log_of_the_outbox_holds_no_url(
    site: Site, network: Callable[..., Network], caplog: pytest.LogCaptureFixture
) -> None:
    net = network(BUSY, REFUSED)
    owe(site, "a")
    with caplog.at_level("DEBUG"):
        deliver_signal(site, "a", net.patience(600))
        owe(site, "b")
        net.answers = [BUSY]
        deliver_signal(site, "b", ONE_TRY)
    assert "deployment=a signal=refused transport=CFN_SIGNAL" in caplog.text
    assert "secret" not in caplog.text


# --- several results


def test_a_silent_server_delays_another_one_by_one_try(site: Site, network: Callable[..., Network]) -> None:
    net = network(BUSY)
    for number in range(6):
        owe(site, f"silent-{number}", target(f"silent-{number}", "https://silent.example:8000/secret"))
    owe(site, "well", target("well", "https://well.example:8000/secret"))
    send, hosts = net.send, []

    def send_to(where: SignalTarget, body: str, **options: Optional[str]) -> Answer:
        hosts.append(where.secret["url"])
        is_well = "well" in where.resource_name
        net.slow, net.answers = (0.0, [TAKEN]) if is_well else (50.0, [BUSY])
        return send(where, body, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox, "send", send_to)
        begun = net.now
        assert len(send_owed(site, net.patience(600))) == 6
    assert hosts.index("https://well.example:8000/secret") == 1
    # Each has its turn before one has its second.
    silent = [where for where in net.sent if "silent" in where.resource_name]
    assert len({where.resource_name for where in silent[:6]}) == 6
    assert net.now - begun < 600 + 6 * 50 + LONGEST_PAUSE


def test_a_try_of_another_process_counts(site: Site, network: Callable[..., Network]) -> None:
    """It is claimed, and the ledger has its answer afterwards."""
    net = network(TAKEN)
    owe(site, "a")
    claims: List[Optional[Claim]] = [Claim(4711, 1.0), Claim(4711, 1.2)]

    @contextmanager
    def claimed(*_: object) -> Iterator[Optional[Claim]]:
        yield claims.pop(0) if claims else None
        if not claims:
            site.ledger.settle("a", "owed", "503 to the other", 5.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox, "sending_claim", claimed)
        again: List[str] = []
        assert deliver_signal(site, "a", net.patience(600), again.append)
    assert again == ["", "503 to the other"]
    assert len(net.sent) == 1


def test_a_claim_is_waited_for_no_longer_than_one_try_takes() -> None:
    assert TRY_SECONDS == COLLECT_SECONDS + CONNECT_SECONDS + READ_SECONDS + GRACE
    assert TRY_SECONDS < SENDING_SECONDS <= TRY_SECONDS + 10


def test_without_time_no_alternative_target_is_tried_and_the_result_stays_owed(
    site: Site, network: Callable[..., Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network(REFUSED)
    owe(site, "a")
    monkeypatch.setattr(outbox, "other_targets", lambda *_: (target("b"),))
    monkeypatch.setattr(outbox, "TRY_SECONDS", outbox.SHORTEST_SECONDS)
    assert not deliver_signal(site, "a", net.patience(0))
    assert standing(site, "a") == ("owed", 1, True)


# --- the worker that only sends


def test_a_result_that_comes_while_the_sender_is_ending_is_sent(site: Site, network: Callable[..., Network]) -> None:
    """The worker that stored it finds the sender's lock held, and ends at once."""
    net = network(TAKEN)
    owe(site, "a")

    def last_look(site: Site, *arguments: object) -> object:
        found = send_owed(site, *arguments)  # type: ignore[arg-type]
        if not site.ledger.signals("b"):
            owe(site, "b", target("another"))
            wake(site.settings)
            with only_sender(site.settings) as mine:
                assert not mine
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "send_owed", last_look)
        assert execute.resume(site) == ()
    assert [where.resource_name for where in net.sent] == ["node", "another"]


def test_a_result_that_comes_while_others_are_sent_has_its_turn(site: Site, network: Callable[..., Network]) -> None:
    net = network(BUSY)
    owe(site, "a")
    net.before_try = lambda: None if site.ledger.signals("b") else owe(site, "b", target("another"))
    (site.settings.run).mkdir()
    site.settings.worker_lock.touch()
    assert len(send_owed(site, net.patience(30), None, Wakes(site.settings))) == 2
    assert [where.resource_name for where in net.sent][:2] == ["node", "another"]


def test_somebody_s_wish_gives_a_result_new_patience(site: Site, network: Callable[..., Network]) -> None:
    net = network(BUSY)
    owe(site, "a")
    site.settings.run.mkdir()
    site.settings.worker_lock.touch()
    begun = net.now

    def wish() -> None:
        if net.now - begun > 5 and not wished:
            wished.append(len(net.sent))
            wake(site.settings)

    wished: List[int] = []
    net.before_try = wish
    owe(site, "b", target("another"))
    send_owed(site, net.patience(10), None, Wakes(site.settings))
    assert wished and net.now - begun > 10


def test_a_worker_that_finds_a_sender_ends_at_once(site: Site, network: Callable[..., Network]) -> None:
    net = network(TAKEN)
    owe(site, "a")
    with only_sender(site.settings) as mine:
        assert mine
        assert [signal.config_id for signal in execute.resume(site)] == ["a"]
    assert net.sent == []
