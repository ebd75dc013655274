"""The meanings of the answers to a signal: delivered, to be tried again, or refused for good. Pure."""

from typing import List, NamedTuple

DELIVERED, AGAIN, NEVER = "delivered", "again", "never"

_WORTH_ANOTHER_TRY = (408, 409, 425, 429)
BY_TOKEN = ("HEAT_SIGNAL", "ZAQAR_SIGNAL")
_PROBABLY_GONE = "the stack or its user is probably gone"
_MEANINGS = {
    ("CFN_SIGNAL", 400): ": the stack or the resource is gone",
    ("CFN_SIGNAL", 401): f": the URL is not accepted any more; {_PROBABLY_GONE}",
    ("CFN_SIGNAL", 404): f": {_PROBABLY_GONE}",
    # heat-api-cfn does not catch that keystone knows the key no more.
    ("CFN_SIGNAL", 500): f": the service has failed, or {_PROBABLY_GONE}",
    ("CFN_SIGNAL", 403): ": the URL has probably expired (keystone's default is 15 minutes)",
    ("TEMP_URL_SIGNAL", 401): f": the URL has expired or its signature is not accepted; or {_PROBABLY_GONE}",
    ("TEMP_URL_SIGNAL", 404): f": its container is not there; {_PROBABLY_GONE}",
    ("HEAT_SIGNAL", 400): ": the resource takes no signal now",
    ("HEAT_SIGNAL", 404): f": there is no such resource; {_PROBABLY_GONE}",
    ("ZAQAR_SIGNAL", 404): f": there is no such queue; {_PROBABLY_GONE}",
}


class Answer(NamedTuple):
    """The result of one try.

    ``verdict`` is "delivered" (accepted or not needed), "again" (may work later) or "never" (the same try cannot work).
    ``reason`` is a short text for a person and holds no secret.
    """

    verdict: str
    reason: str


def refused_by_keystone(status: int) -> Answer:
    """Return why there is no token. A 2xx that comes here was no token either: a proxy's page, for example."""
    if status in (401, 403):
        return Answer(
            NEVER, f"keystone answered {status}: the deployment's user or password is not accepted; {_PROBABLY_GONE}"
        )
    if 200 <= status < 300:
        return Answer(AGAIN, f"keystone answered {status} without a token")
    meaning = f"; {_PROBABLY_GONE}" if status == 404 else ""
    return Answer(_verdict(status), f"keystone answered {status}{meaning}")


def judged(status: int, transport: str) -> Answer:
    """Return what an HTTP status means for a signal."""
    verdict = _verdict(status)
    if status == 401 and transport in BY_TOKEN:
        # The token is seconds old: the service does not know it yet, or cannot reach keystone.
        return Answer(AGAIN, "401: the service does not accept the token that keystone gave")
    meaning = _MEANINGS.get((transport, status), "")
    return Answer(verdict, f"the server answered {status}{meaning}")


def _verdict(status: int) -> str:
    """A redirect is "never": what is signed for one place must not be sent to another."""
    if status >= 500 or status in _WORTH_ANOTHER_TRY or status < 200:
        return AGAIN
    return DELIVERED if status < 300 else NEVER


_TLS = "the server's certificate could not be verified"
# OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED, and the mismatches of a name and an address.
_FAULTS = {
    9: "it is not valid yet, or the clock of this node is wrong",
    10: "it has expired, or the clock of this node is wrong",
    62: "it is for another name",
    64: "it is for another address",
}


def untrusted(error: BaseException) -> str:
    """Return why a certificate is not trusted. The exception with OpenSSL's reason is somewhere behind ``error``."""
    todo: List[object] = [error]
    for one in todo:
        code = getattr(one, "verify_code", None)
        if code in _FAULTS:
            return f"{_TLS}: {_FAULTS[code]}"
        if isinstance(one, BaseException) and len(todo) < 50:
            todo += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return f"{_TLS}; ca_certificate names the file of a private authority"
