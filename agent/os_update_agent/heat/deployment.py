"""Turns what heat-config gives a hook on its standard input into a Deployment, or into a clear BadDeployment. Pure: no
files, no clock.
"""

import json
import re
from dataclasses import replace
from typing import Any, Callable, Dict, List, Mapping, Tuple
from urllib.parse import urlsplit

from os_update_agent.model.deliveries import Deployment, Output, SignalTarget
from os_update_agent.model.errors import BadDeployment

_ACTIONS = ("CREATE", "UPDATE", "DELETE", "SUSPEND", "RESUME")
_OWN = "deploy_"
_SHOWN_CHARACTERS = 80

# The values of inputs with these words in their names never appear in a message.
_SECRET_WORDS = ("deploy_signal_id", "password", "token", "secret")

_DEFAULT_VERBS = {"CFN_SIGNAL": "POST", "TEMP_URL_SIGNAL": "PUT"}
_CREDENTIALS = ("auth_url", "user_id", "password", "project_id")
_CREDENTIALS_NEEDED = {"HEAT_SIGNAL": _CREDENTIALS, "ZAQAR_SIGNAL": (*_CREDENTIALS, "queue_id")}
_CREDENTIALS_OPTIONAL = ("username", "region_name")

# https://heat.example:8000/v1/signal/arn%3Aopenstack%3A...?Timestamp=...&Signature=...
_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)

_Document = Mapping[str, Any]
_Inputs = Mapping[str, Any]


def parse(text: str) -> Deployment:
    """The delivery that ``text`` holds: one item of Heat's list of deployments, as JSON.

    An input that is '', 'None', blank or null counts as unset (heat-config turns null into 'None').

    Raises BadDeployment with one sentence that names the field. It carries what else could be understood, as
    ``deployment``, whenever the signal target was, so that Heat need not wait for its timeout.
    """
    faults: List[str] = []
    document = _document(text, faults)
    inputs = _inputs(document.get("inputs"), faults)
    known = Deployment("", "", "", "", "", "", signal=_signal(inputs))
    for field, read in _FIELDS.items():
        try:
            known = replace(known, **{field: read(document, inputs)})
        except BadDeployment as fault:
            faults.append(str(fault))
    if faults:
        raise BadDeployment(faults[0], deployment=known)
    return known


def _document(text: str, faults: List[str]) -> _Document:
    """The JSON object in ``text``. A NaN becomes null and a fault: the rest is still good for a signal."""

    def constant(name: str) -> None:
        faults.append(f"the deployment holds {name}, which is not JSON; every number in it must be finite")

    if not text.strip():
        raise BadDeployment("the standard input is empty; it must be the deployment as a JSON object")
    try:
        document = json.loads(text, parse_constant=constant)
    except json.JSONDecodeError as error:
        # The text itself holds secrets, so only the place is told.
        place = f"{error.msg}, line {error.lineno}, column {error.colno}"
        raise BadDeployment(f"the deployment is not JSON ({place}); it must be a JSON object") from None
    except (ValueError, RecursionError):
        raise BadDeployment(
            "the deployment is nested too deeply or holds too long a number; it must be a JSON object"
        ) from None
    if not isinstance(document, dict):
        raise BadDeployment(f"the deployment is {_kind(document)}; it must be a JSON object")
    return document


def _inputs(items: Any, faults: List[str]) -> Dict[str, Any]:
    """The inputs by name. A name that comes twice has no value that can be trusted, so it is left out and is a
    fault.
    """
    if not isinstance(items, list):
        found = "missing" if items is None else _kind(items)
        raise BadDeployment(f"inputs is {found}; it must be a list of maps with name and value")
    values: Dict[str, Any] = {}
    twice = set()
    for number, item in enumerate(items):
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or not name:
            found = "a map without a name" if isinstance(item, dict) else _kind(item)
            faults.append(f"inputs[{number}] is {found}; it must be a map with name and value")
        elif name in values:
            twice.add(name)
        else:
            values[name] = item["value"] if "value" in item else item.get("default")
    for name in sorted(twice):
        del values[name]
        faults.append(f"the input {_short(name)} comes more than once; every input must have one value")
        if name.startswith(_OWN):
            raise BadDeployment(faults[-1])
    return values


def _signal(inputs: _Inputs) -> SignalTarget:
    """Where the result goes; an unknown transport keeps its name and has no secret."""
    transport = _transport(inputs)
    by_name = transport == "HEAT_SIGNAL"
    target = SignalTarget(
        transport,
        stack_id=_address(inputs, "deploy_stack_id", needed=by_name),
        resource_name=_address(inputs, "deploy_resource_name", needed=by_name),
    )
    if transport in _DEFAULT_VERBS:
        return replace(
            target, verb=_verb(inputs, transport), secret={"url": _url(inputs, "deploy_signal_id", transport)}
        )
    if transport in _CREDENTIALS_NEEDED:
        return replace(target, secret=_credentials(inputs, transport))
    return target


def _transport(inputs: _Inputs) -> str:
    transport = inputs.get("deploy_signal_transport")
    if not _is_unset(transport):
        return _line(inputs, "deploy_signal_transport")
    for sign, meant in (("signal_id", "CFN_SIGNAL"), ("queue_id", "ZAQAR_SIGNAL"), ("auth_url", "HEAT_SIGNAL")):
        if not _is_unset(inputs.get(_OWN + sign)):
            return meant
    return "NO_SIGNAL"


def _address(inputs: _Inputs, name: str, *, needed: bool) -> str:
    """Part of the address of a signal: other transports than HEAT_SIGNAL have it inside their URL or queue."""
    try:
        return _line(inputs, name)
    except BadDeployment:
        if needed:
            raise
        return ""


def _verb(inputs: _Inputs, transport: str) -> str:
    verb = inputs.get("deploy_signal_verb")
    if _is_unset(verb):
        return _DEFAULT_VERBS[transport]
    if verb not in ("POST", "PUT"):
        raise BadDeployment(f"deploy_signal_verb is {_short(verb)}; it must be POST or PUT")
    return str(verb)


def _url(inputs: _Inputs, name: str, transport: str) -> str:
    url = inputs.get(name)
    if _is_unset(url):
        raise BadDeployment(f"{name} is missing; {transport} needs an http or https URL there")
    if not isinstance(url, str) or not _URL.fullmatch(url) or not _has_host(url):
        raise BadDeployment(f"{name} is {_shown(name, url)}; {transport} needs an http or https URL there")
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
        name = _OWN + field
        if not _is_unset(inputs.get(name)):
            secret[field] = _line(inputs, name)
        elif field in needed:
            raise BadDeployment(f"{name} is missing; {transport} needs it")
    return secret


def _outputs(document: _Document, _: _Inputs) -> Tuple[Output, ...]:
    items = document.get("outputs")
    if items is None:
        return ()
    if not isinstance(items, list):
        raise BadDeployment(f"outputs is {_kind(items)}; it must be a list of maps with a name")
    return tuple(_output(number, item) for number, item in enumerate(items))


def _output(number: int, item: Any) -> Output:
    name = item.get("name") if isinstance(item, dict) else None
    if not isinstance(name, str) or not name:
        found = "a map without a name" if isinstance(item, dict) else _kind(item)
        raise BadDeployment(f"outputs[{number}] is {found}; it must be a map with a name")
    flag = item.get("error_output")
    if _is_unset(flag) or flag in (False, "false", "False"):
        return Output(name)
    if flag in (True, "true", "True"):
        return Output(name, error_output=True)
    raise BadDeployment(f"error_output of the output {_short(name)} is {_short(flag)}; it must be true or false")


def _action(_: _Document, inputs: _Inputs) -> str:
    action = inputs.get("deploy_action")
    if action in _ACTIONS:
        return str(action)
    found = "missing" if _is_unset(action) else _short(action)
    raise BadDeployment(f"deploy_action is {found}; it must be one of {', '.join(_ACTIONS)}")


def _server_id(_: _Document, inputs: _Inputs) -> str:
    return "" if _is_unset(inputs.get("deploy_server_id")) else _line(inputs, "deploy_server_id")


def _name(document: _Document, _: _Inputs) -> str:
    return "" if _is_unset(document.get("name")) else _line(document, "name")


def _own_inputs(_: _Document, inputs: _Inputs) -> Dict[str, Any]:
    return {name: value for name, value in inputs.items() if not name.startswith(_OWN)}


def _map(document: _Document, name: str) -> Dict[str, Any]:
    """A field that holds options: a map, or the YAML text of one. Only plain JSON values come out: a YAML date becomes
    text.
    """
    value = document.get(name)
    if _is_unset(value):
        return {}
    if isinstance(value, str):
        value = _yaml(name, value)
        if value is None:
            return {}
    if not isinstance(value, dict):
        raise BadDeployment(f"{name} is {_shown(name, value)}; it must be a map of options, or the YAML text of one")
    for key in value:
        if not isinstance(key, str):
            raise BadDeployment(f"{name} has the key {_shown(name, key)}; every option's name must be text")
    return value


def _yaml(name: str, text: str) -> Any:
    import yaml  # costs a hook 30 ms, and most deployments have no text here

    # yaml lets through what its constructors raise for a value like "2026-13-45" or "!!int ''".
    odd = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError, RecursionError)
    try:
        value = yaml.safe_load(text)
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return json.loads(json.dumps(value, default=str))
        return value
    except yaml.MarkedYAMLError as error:
        place = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
    except (yaml.YAMLError, *odd):
        place = ""
    raise BadDeployment(f"{name} cannot be read as YAML{place}; it must be a map of options, or the YAML text of one")


def _line(source: Mapping[str, Any], name: str) -> str:
    """A field that must be there and be one line of printable text: it becomes a key, or part of an address."""
    value = source.get(name)
    if _is_unset(value):
        raise BadDeployment(f"{name} is missing; it must be a line of text")
    if not isinstance(value, str) or not value.isprintable():
        raise BadDeployment(f"{name} is {_shown(name, value)}; it must be a line of printable text")
    return value


def _is_unset(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in ("", "None"))


def _shown(name: str, value: Any) -> str:
    """The value for a message: short, and never a secret nor what may hold one."""
    about = f"{name} {value}" if isinstance(value, str) else name
    if any(word in about.lower() for word in _SECRET_WORDS):
        return "not usable (its value is not shown, it may be a secret)"
    return _short(value)


def _short(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return _kind(value)
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[: _SHOWN_CHARACTERS - 3] + "..."


def _kind(value: Any) -> str:
    kinds: Dict[type, str] = {
        dict: "a map",
        list: "a list",
        str: "text",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }
    return kinds.get(type(value), "null")


_FIELDS: Dict[str, Callable[[_Document, _Inputs], Any]] = {
    "id": lambda document, _: _line(document, "id"),
    "outputs": _outputs,
    "stack_id": lambda _, inputs: _line(inputs, "deploy_stack_id"),
    "resource_name": lambda _, inputs: _line(inputs, "deploy_resource_name"),
    "server_id": _server_id,
    "action": _action,
    "name": _name,
    "inputs": _own_inputs,
    "config": lambda document, _: _map(document, "config"),
    "options": lambda document, _: _map(document, "options"),
}
