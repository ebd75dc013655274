"""Turns what heat-config gives a hook on its standard input into a Deployment, or into a clear BadDeployment. Pure: no
files, no clock.
"""

import json
from typing import Any, Callable, Dict, List, Mapping, Tuple

from os_update_agent.heat.fields import is_unset, kind, line, short, shown
from os_update_agent.heat.signal_target import OWN, is_outside_of_a_stack, signal_target
from os_update_agent.heat.yaml_options import read_yaml
from os_update_agent.model.bounded_json import TooLarge, longer_than, read_json
from os_update_agent.model.deliveries import ACTIVE_ACTIONS, INACTIVE_ACTIONS, Deployment, Output
from os_update_agent.model.errors import BadDeployment

# Heat takes a template of 512 KiB and a signal of 1 MiB; a deployment holds one config and its inputs.
TEXT_LIMIT = 8 << 20
_ACTIONS = (*ACTIVE_ACTIONS, *INACTIVE_ACTIONS)
OUTPUTS_LIMIT = 10_000
# Heat writes 20 characters.
_LONGEST_TIME = 40
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
    known = Deployment("", "", "", "", "", "", signal=signal_target(inputs, _created(document)))
    for field, read in _FIELDS.items():
        try:
            known = known._replace(**{field: read(document, inputs)})
        except BadDeployment as fault:
            faults.append(str(fault))
    if faults:
        raise BadDeployment(faults[0], deployment=known)
    return known


def _created(document: _Document) -> str:
    """Return when Heat made the delivery, "" where it does not say."""
    created = document.get("creation_time")
    return created if isinstance(created, str) and len(created) <= _LONGEST_TIME and created.isprintable() else ""


def _document(text: str, faults: List[str]) -> _Document:
    """The JSON object in ``text``. A NaN becomes null and a fault: the rest is still good for a signal."""

    def constant(name: str) -> None:
        faults.append(f"the deployment holds {name}, which is not JSON; every number in it must be finite")

    if len(text) > TEXT_LIMIT:
        raise BadDeployment(f"the deployment {longer_than(TEXT_LIMIT, len(text))}, so it was not read")
    if not text.strip():
        raise BadDeployment("the standard input is empty; it must be the deployment as a JSON object")
    try:
        document = read_json(text, TEXT_LIMIT, constant=constant)
    except json.JSONDecodeError as error:
        # The text itself holds secrets, so only the place is told.
        place = f"{error.msg}, line {error.lineno}, column {error.colno}"
        raise BadDeployment(f"the deployment is not JSON ({place}); it must be a JSON object") from None
    except TooLarge as error:
        raise BadDeployment(f"the deployment {error}, so it was not read; it must be a JSON object") from None
    except ValueError:
        raise BadDeployment("the deployment holds a number of too many digits; it must be a JSON object") from None
    if not isinstance(document, dict):
        raise BadDeployment(f"the deployment is {kind(document)}; it must be a JSON object")
    return document


def _inputs(items: Any, faults: List[str]) -> Dict[str, Any]:
    """The inputs by name. A name that comes twice has no value that can be trusted, so it is left out and is a
    fault.
    """
    if not isinstance(items, list):
        found = "missing" if items is None else kind(items)
        raise BadDeployment(f"inputs is {found}; it must be a list of maps with name and value")
    values: Dict[str, Any] = {}
    twice = set()
    for number, item in enumerate(items):
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or not name:
            found = "a map without a name" if isinstance(item, dict) else kind(item)
            faults.append(f"inputs[{number}] is {found}; it must be a map with name and value")
        elif name in values:
            twice.add(name)
        else:
            values[name] = item["value"] if "value" in item else item.get("default")
    for name in sorted(twice):
        del values[name]
        faults.append(f"the input {short(name)} comes more than once; every input must have one value")
        if name.startswith(OWN):
            raise BadDeployment(faults[-1])
    return values


def _outputs(document: _Document, _: _Inputs) -> Tuple[Output, ...]:
    items = document.get("outputs")
    if items is None:
        return ()
    if not isinstance(items, list):
        raise BadDeployment(f"outputs is {kind(items)}; it must be a list of maps with a name")
    if len(items) > OUTPUTS_LIMIT:
        raise BadDeployment(f"outputs has {len(items)} entries; at most {OUTPUTS_LIMIT} are read")
    return tuple(_output(number, item) for number, item in enumerate(items))


def _output(number: int, item: Any) -> Output:
    name = item.get("name") if isinstance(item, dict) else None
    if not isinstance(name, str) or not name:
        found = "a map without a name" if isinstance(item, dict) else kind(item)
        raise BadDeployment(f"outputs[{number}] is {found}; it must be a map with a name")
    flag = item.get("error_output")
    if is_unset(flag) or flag in (False, "false", "False"):
        return Output(name)
    if flag in (True, "true", "True"):
        return Output(name, error_output=True)
    raise BadDeployment(f"error_output of the output {short(name)} is {short(flag)}; it must be true or false")


def _action(_: _Document, inputs: _Inputs) -> str:
    action = inputs.get("deploy_action")
    if action in _ACTIONS:
        return str(action)
    found = "missing" if is_unset(action) else short(action)
    raise BadDeployment(f"deploy_action is {found}; it must be one of {', '.join(_ACTIONS)}")


def _server_id(_: _Document, inputs: _Inputs) -> str:
    return "" if is_unset(inputs.get("deploy_server_id")) else line(inputs, "deploy_server_id")


def _name(document: _Document, inputs: _Inputs) -> str:
    """The name of the deployment, which is its identity outside of a stack."""
    is_needed = is_outside_of_a_stack(inputs)
    return "" if is_unset(document.get("name")) and not is_needed else line(document, "name")


def _of_stack(inputs: _Inputs, name: str) -> str:
    return "" if is_outside_of_a_stack(inputs) else line(inputs, name)


def _own_inputs(_: _Document, inputs: _Inputs) -> Dict[str, Any]:
    return {name: value for name, value in inputs.items() if not name.startswith(OWN)}


def _map(document: _Document, name: str) -> Dict[str, Any]:
    """A field that holds options: a map, or the YAML text of one. Only plain JSON values come out: a YAML date becomes
    text.
    """
    value = document.get(name)
    if is_unset(value):
        return {}
    if isinstance(value, str):
        value = _yaml(name, value)
        if value is None:
            return {}
    if not isinstance(value, dict):
        raise BadDeployment(f"{name} is {shown(name, value)}; it must be a map of options, or the YAML text of one")
    for key in value:
        if not isinstance(key, str):
            raise BadDeployment(f"{name} has the key {shown(name, key)}; every option's name must be text")
    return value


def _yaml(name: str, text: str) -> Any:
    import yaml  # late, as in read_yaml

    # yaml lets through what its constructors raise for a value like "2026-13-45" or "!!int ''".
    odd = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError, RecursionError)
    try:
        value = read_yaml(text)
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return json.loads(json.dumps(value, default=str))
        return value
    except TooLarge as error:
        raise BadDeployment(f"{name} {error}; it must be a map of options, or the YAML text of one") from None
    except yaml.MarkedYAMLError as error:
        place = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
    except (yaml.YAMLError, *odd):
        place = ""
    raise BadDeployment(f"{name} cannot be read as YAML{place}; it must be a map of options, or the YAML text of one")


_FIELDS: Dict[str, Callable[[_Document, _Inputs], Any]] = {
    "id": lambda document, _: line(document, "id"),
    "outputs": _outputs,
    "stack_id": lambda _, inputs: _of_stack(inputs, "deploy_stack_id"),
    "resource_name": lambda _, inputs: _of_stack(inputs, "deploy_resource_name"),
    "server_id": _server_id,
    "action": _action,
    "name": _name,
    "inputs": _own_inputs,
    "config": lambda document, _: _map(document, "config"),
    "options": lambda document, _: _map(document, "options"),
}
