"""Where the result of a delivery goes, read from the inputs that Heat adds for that. Pure."""

import re
from dataclasses import replace
from typing import Any, Dict, Mapping
from urllib.parse import urlsplit

from os_update_agent.heat.fields import is_unset, line, short, shown
from os_update_agent.model.deliveries import SignalTarget
from os_update_agent.model.errors import BadDeployment

# The prefix of the inputs that are Heat's own.
OWN = "deploy_"

_DEFAULT_VERBS = {"CFN_SIGNAL": "POST", "TEMP_URL_SIGNAL": "PUT"}
_CREDENTIALS = ("auth_url", "user_id", "password", "project_id")
_CREDENTIALS_NEEDED = {"HEAT_SIGNAL": _CREDENTIALS, "ZAQAR_SIGNAL": (*_CREDENTIALS, "queue_id")}
_CREDENTIALS_OPTIONAL = ("username", "region_name")

# https://heat.example:8000/v1/signal/arn%3Aopenstack%3A...?Timestamp=...&Signature=...
_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)

_Inputs = Mapping[str, Any]


def is_outside_of_a_stack(inputs: _Inputs) -> bool:
    """Is this a deployment of ``openstack software deployment create``? Heat's own name stack and resource."""
    return is_unset(inputs.get("deploy_stack_id")) and is_unset(inputs.get("deploy_resource_name"))


def signal_target(inputs: _Inputs, created: str = "") -> SignalTarget:
    """Return the target of the result. An unknown transport keeps its name and has no secret.

    ``created`` is the delivery's ``creation_time``.
    """
    transport = _transport(inputs)
    by_name = transport == "HEAT_SIGNAL"
    target = SignalTarget(
        transport,
        stack_id=_address(inputs, "deploy_stack_id", needed=by_name),
        resource_name=_address(inputs, "deploy_resource_name", needed=by_name),
        created=created,
    )
    if transport in _DEFAULT_VERBS:
        return replace(
            target, verb=_verb(inputs, transport), secret={"url": _url(inputs, "deploy_signal_id", transport)}
        )
    if transport in _CREDENTIALS_NEEDED:
        return replace(target, secret=_credentials(inputs, transport))
    return target


def server_of(target: SignalTarget) -> str:
    """Return the name of the server that is asked first for a signal, with its port; "" if the target has none."""
    try:
        return urlsplit(target.secret.get("url", target.secret.get("auth_url", ""))).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


def _transport(inputs: _Inputs) -> str:
    transport = inputs.get("deploy_signal_transport")
    if not is_unset(transport):
        return line(inputs, "deploy_signal_transport")
    for sign, meant in (("signal_id", "CFN_SIGNAL"), ("queue_id", "ZAQAR_SIGNAL"), ("auth_url", "HEAT_SIGNAL")):
        if not is_unset(inputs.get(OWN + sign)):
            return meant
    return "NO_SIGNAL"


def _address(inputs: _Inputs, name: str, *, needed: bool) -> str:
    """Part of the address of a signal: other transports than HEAT_SIGNAL have it inside their URL or queue."""
    try:
        return line(inputs, name)
    except BadDeployment:
        if needed:
            raise
        return ""


def _verb(inputs: _Inputs, transport: str) -> str:
    verb = inputs.get("deploy_signal_verb")
    if is_unset(verb):
        return _DEFAULT_VERBS[transport]
    if verb not in ("POST", "PUT"):
        raise BadDeployment(f"deploy_signal_verb is {short(verb)}; it must be POST or PUT")
    return str(verb)


def _url(inputs: _Inputs, name: str, transport: str) -> str:
    url = inputs.get(name)
    if is_unset(url):
        raise BadDeployment(f"{name} is missing; {transport} needs an http or https URL there")
    if not isinstance(url, str) or not _URL.fullmatch(url) or not _has_host(url):
        raise BadDeployment(f"{name} is {shown(name, url)}; {transport} needs an http or https URL there")
    return url


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _credentials(inputs: _Inputs, transport: str) -> Dict[str, str]:
    needed = _CREDENTIALS_NEEDED[transport]
    secret = {"auth_url": _url(inputs, "deploy_auth_url", transport)}
    for field in (*needed, *_CREDENTIALS_OPTIONAL):
        name = OWN + field
        if not is_unset(inputs.get(name)):
            secret[field] = line(inputs, name)
        elif field in needed:
            raise BadDeployment(f"{name} is missing; {transport} needs it")
    return secret
