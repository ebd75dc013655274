"""Sends one signal to Heat, once, within a bounded time. The caller decides whether to try again.

Nothing here may show a secret: the URL of CFN_SIGNAL and TEMP_URL_SIGNAL is one, and the text of nearly every exception
of requests and keystoneauth1 holds the URL. So reasons are made of class names and status codes only.
"""

import contextlib
import json
import logging
import math
import os
import threading
from typing import Any, Callable, Dict, List, Mapping, MutableMapping, NamedTuple, Optional, Union
from urllib.parse import quote

from os_update_agent.heat.bounded_http import BadAnswer, Connections, bounded_session
from os_update_agent.heat.signal_answers import (
    AGAIN,
    BY_TOKEN,
    DELIVERED,
    NEVER,
    Answer,
    judged,
    refused_by_keystone,
    untrusted,
)
from os_update_agent.heat.stored_objects import accepted
from os_update_agent.model.deliveries import SignalTarget

# Heat's max_json_body_size. heat-api-cfn answers 500 to a larger body, which would look like something to try again.
BODY_LIMIT = 1024 * 1024
# Seconds to wait for a connection, and for the next packet of an answer.
CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0
# Seconds that one try may take beyond its two timeouts, which bound the wait for each single packet only.
GRACE = 10.0
# Seconds that Heat has to fetch a message from a queue; heat-config-notify's choice.
MESSAGE_LIFE = 600

_JSON = {"content-type": "application/json"}
_SHOWN_CHARACTERS = 40

# They log URLs with signatures, tokens and bodies: at DEBUG, and urllib3 at WARNING too ("Failed to parse headers
# (url=...)").
_TALKATIVE = ("urllib3", "requests", "keystoneauth", "keystoneauth1")


class _Try(NamedTuple):
    """How a try is made: ``verify`` is True or the path of the certificates to trust, ``connect`` and ``read`` are
    seconds.
    """

    verify: Union[bool, str]
    connect: float
    read: float
    connections: Connections


def send(
    target: SignalTarget,
    body: str,
    *,
    ca_certificate: Optional[str] = None,
    connect: float = CONNECT_SECONDS,
    read: float = READ_SECONDS,
    limit: float = math.inf,
) -> Answer:
    """Send ``body`` (JSON text) to ``target``, once: no retries, no redirects.

    ``ca_certificate`` is the path of a PEM file that is trusted instead of the system's. ``connect`` and ``read`` are
    seconds; the whole call returns within their sum and 10 s more, and within ``limit`` seconds, even when a server
    answers one byte at a time (its connections are ended then; the signal may have arrived). Never raises for what a
    server or a network does.
    """
    _silence_libraries()
    if target.transport == "NO_SIGNAL":
        return Answer(DELIVERED, "nobody waits for a signal")
    way = _WAYS.get(target.transport)
    if way is None:
        return Answer(NEVER, f"the transport {target.transport[:_SHOWN_CHARACTERS]!r} is unknown")
    if not target.secret:
        return Answer(NEVER, "the credentials for this signal are not known any more")
    payload = body.encode("utf-8", "replace")
    if len(payload) > BODY_LIMIT:
        return Answer(NEVER, f"the signal is too large: {len(payload)} bytes, Heat accepts {BODY_LIMIT}")
    attempt = _Try(ca_certificate or True, connect, read, Connections())
    return _bounded(lambda: way(target, payload, attempt), min(connect + read + GRACE, limit), attempt.connections)


def get_ready(target: SignalTarget) -> None:
    """Load what send() will need for the target: a tenth of a second that is better spent while there is nothing to do.
    Raises nothing.
    """
    with contextlib.suppress(Exception):
        if target.transport in BY_TOKEN:
            import keystoneauth1.identity.v3
            import keystoneauth1.session  # noqa: F401
        if target.transport != "NO_SIGNAL":
            bounded_session(Connections()).close()


def _silence_libraries() -> None:
    """Keep the libraries' own messages from every log. Done at each send, because whoever sets up logging may do so at
    any time.
    """
    for name in (*_TALKATIVE, *logging.root.manager.loggerDict):
        if name.partition(".")[0] in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _bounded(one_try: Callable[[], Answer], limit: float, connections: Connections) -> Answer:
    """The answer of the try, or "again" after ``limit`` seconds.

    Socket timeouts start anew with every packet, so only another thread can hold the bound. It is a daemon: it delays
    no exit, and ends once its connections are ended.
    """
    answers: List[Answer] = []

    def attempt() -> None:
        try:
            answers.append(one_try())
        except Exception as error:  # a traceback, here or from threading's own hook, would show the URL
            answers.append(Answer(AGAIN, f"the try ended with {type(error).__name__}"))
        finally:
            connections.close()

    thread = threading.Thread(target=attempt, name="signal", daemon=True)
    thread.start()
    thread.join(limit)
    if answers:
        return answers[0]
    # The thread gets an error now, and its answer does not count any more.
    connections.end()
    return Answer(AGAIN, f"no answer within {limit:g} s")


def _by_url(target: SignalTarget, payload: bytes, attempt: _Try) -> Answer:
    """CFN_SIGNAL and TEMP_URL_SIGNAL: one request to a signed URL, which must not be encoded anew.

    What Heat makes arrives byte for byte. (urllib3 would spell %3a as %3A; no signature depends on that.)
    """
    try:
        import requests
    except ImportError as error:
        return _unloadable("requests", error)
    url = target.secret["url"]
    proxies: MutableMapping[str, str] = {}
    try:
        prepared = requests.Request(target.verb, url, data=payload, headers=_JSON).prepare()
        prepared.url = url
        with bounded_session(attempt.connections) as session:
            settings = session.merge_environment_settings(url, {}, True, attempt.verify, None)
            proxies = settings["proxies"]
            verify = attempt.verify if settings["verify"] is None else settings["verify"]
            timeout = (attempt.connect, attempt.read)
            # The adapter, because a session looks where a redirect leads and reads the whole body for it. No body is
            # read here.
            adapter = session.get_adapter(url)
            with adapter.send(prepared, stream=True, timeout=timeout, verify=verify, proxies=proxies) as response:
                answer = judged(response.status_code, target.transport)
                is_object = target.transport == "TEMP_URL_SIGNAL"
                return accepted(answer, response.headers, target.created) if is_object else answer
    except requests.exceptions.SSLError as error:
        return Answer(AGAIN, untrusted(error))
    except (requests.RequestException, ValueError) as error:
        # InvalidURL, MissingSchema and their like are ValueErrors: the URL is wrong and stays so, or that of a proxy.
        if proxies and requests.utils.select_proxy(url, proxies):
            return Answer(
                AGAIN, f"no answer: {type(error).__name__}; it goes through a proxy (http_proxy, https_proxy)"
            )
        return Answer(NEVER if isinstance(error, ValueError) else AGAIN, f"no answer: {type(error).__name__}")
    except OSError as error:
        return _unreadable(attempt, error)


def _by_heat(target: SignalTarget, payload: bytes, attempt: _Try) -> Answer:
    """HEAT_SIGNAL: a token for the deployment's own user, then Heat's API."""
    path = f"/stacks/{quote(target.stack_id)}/resources/{quote(target.resource_name, safe='')}/signal"

    def post(session: Any, region: Mapping[str, str]) -> Answer:
        response = session.post(
            path,
            endpoint_filter={"service_type": "orchestration", "interface": "public", **region},
            data=payload,
            headers=dict(_JSON),
            **_once(attempt),
        )
        with response:
            return judged(response.status_code, target.transport)

    return _with_token(target, attempt, post)


def _by_queue(target: SignalTarget, payload: bytes, attempt: _Try) -> Answer:
    """ZAQAR_SIGNAL: a message into the queue that Heat reads (Messaging API v2, POST /v2/queues/NAME/messages).

    Without python-zaqarclient: that needs compiled libraries, which exist for one version of Python only.
    """
    path = f"/v2/queues/{quote(target.secret['queue_id'], safe='')}/messages"
    message = {"body": json.loads(payload), "ttl": MESSAGE_LIFE}
    # The service refuses a message without an id of its client.
    headers = {**_JSON, "Client-ID": os.urandom(16).hex(), "X-Project-Id": target.secret["project_id"]}

    def post(session: Any, region: Mapping[str, str]) -> Answer:
        response = session.post(
            path,
            endpoint_filter={"service_type": "messaging", "interface": "public", **region},
            data=json.dumps({"messages": [message]}).encode(),
            headers=headers,
            **_once(attempt),
        )
        with response:
            if response.status_code == 201:
                return Answer(DELIVERED, "the queue took the message")
            if 200 <= response.status_code < 300:
                return Answer(AGAIN, "the queue did not confirm the message")
            return judged(response.status_code, target.transport)

    return _with_token(target, attempt, post)


def _once(attempt: _Try) -> Dict[str, Any]:
    """Return the options of a request that is made once: no second try, no redirect, no log, any status."""
    return {
        "raise_exc": False,
        "redirect": False,
        "connect_retries": 0,
        "allow_reauth": False,
        "log": False,
        "stream": True,
        "timeout": (attempt.connect, attempt.read),
    }


def _with_token(target: SignalTarget, attempt: _Try, post: Callable[[Any, Mapping[str, str]], Answer]) -> Answer:
    """What ``post`` answers with a session of the deployment's own user, or why there is none."""
    try:
        import requests
        from keystoneauth1 import exceptions, session
        from keystoneauth1.identity import v3
    except ImportError as error:
        return _unloadable("keystoneauth1", error)
    secret = target.secret
    login = v3.Password(
        auth_url=secret["auth_url"],
        user_id=secret["user_id"],
        password=secret["password"],
        project_id=secret["project_id"],
    )
    region = {"region_name": secret["region_name"]} if secret.get("region_name") else {}
    try:
        with bounded_session(attempt.connections) as bounded:
            speaker = session.Session(
                auth=login, session=bounded, verify=attempt.verify, timeout=attempt.read, redirect=False
            )
            return post(speaker, region)
    except (exceptions.EndpointNotFound, exceptions.EmptyCatalog):
        return Answer(NEVER, "keystone lists no public endpoint of the service that takes the signal")
    except exceptions.HttpError as error:
        return refused_by_keystone(error.http_status)
    except exceptions.InvalidResponse as error:
        return refused_by_keystone(getattr(error.response, "status_code", 0))
    except (exceptions.ClientException, requests.RequestException) as error:
        is_tls = isinstance(error, (exceptions.SSLError, requests.exceptions.SSLError))
        return Answer(AGAIN, untrusted(error) if is_tls else f"no answer: {type(error).__name__}")
    except OSError as error:
        return _unreadable(attempt, error)
    except (BadAnswer, LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        # keystoneauth1 takes the shape of a token and of a catalog for granted.
        fault = str(error) if isinstance(error, BadAnswer) else f"is no token with a catalog ({type(error).__name__})"
        return Answer(AGAIN, f"the answer of keystone {fault}")


def _unloadable(library: str, error: ImportError) -> Answer:
    """A library that is missing stays so. One that lacks a part of Python does not: Python is just being replaced."""
    if (error.name or "").partition(".")[0] == library:
        return Answer(NEVER, f"python3-{library} is not installed")
    return Answer(AGAIN, f"{library} cannot be loaded now: there is no {error.name}")


def _unreadable(attempt: _Try, error: OSError) -> Answer:
    """requests raises a bare OSError when there is no file at ``ca_certificate``."""
    if isinstance(attempt.verify, str):
        return Answer(AGAIN, f"ca_certificate cannot be read: {type(error).__name__}")
    return Answer(AGAIN, f"no answer: {type(error).__name__}")


_WAYS: Dict[str, Callable[[SignalTarget, bytes, _Try], Answer]] = {
    "CFN_SIGNAL": _by_url,
    "TEMP_URL_SIGNAL": _by_url,
    "HEAT_SIGNAL": _by_heat,
    "ZAQAR_SIGNAL": _by_queue,
}
