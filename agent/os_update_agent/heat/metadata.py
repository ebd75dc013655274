"""Is a delivery still the one that Heat waits for? Asked from what lies on the node, or from Heat by the node's own
collector.
"""

import logging
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, FrozenSet, Iterator, Optional, Tuple

from os_update_agent.config.bounded_files import read_bytes, read_text, words_of
from os_update_agent.heat.fields import is_unset
from os_update_agent.heat.signal_target import is_outside_of_a_stack
from os_update_agent.model.bounded_json import TooLarge, read_json
from os_update_agent.model.deliveries import SignalTarget
from os_update_agent.model.errors import AgentError
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

COLLECT_SECONDS = 60.0
# Bytes of Heat's list for one server: each config with its inputs, once for each collector of os-collect-config.
LIST_LIMIT = 32 << 20
# Of os-collect-config's collectors those that fetch what Heat lists for this server, and may be asked as often as one
# likes.
COLLECTORS = ("heat", "cfn", "request")
_SECTION = re.compile(r"^\[(\w+)\]", re.MULTILINE)
# What heat-config reads its deployments from (heat-agents: 55-heat-config, HEAT_SHELL_CONFIG).
HEAT_CONFIG = ("HEAT_SHELL_CONFIG", "/var/run/heat-config/heat-config")


@dataclass(frozen=True)
class Listed:
    """One entry of the server metadata's list of deployments: what is needed to tell a current one from an overtaken
    one. Outside of a stack the name of the deployment stands for the resource, and ``stack_id`` is "".
    """

    id: str
    stack_id: str
    resource_name: str
    created: str
    # A signed URL is a secret.
    url: str = field(default="", repr=False)

    @property
    def place(self) -> Tuple[str, str]:
        """The resource. Only the newest deployment of a resource is run."""
        return self.stack_id, self.resource_name

    @property
    def address(self) -> Tuple[str, str]:
        """The address of the signal. Heat takes a signal for the newest deployment with its address."""
        return (self.stack_id, self.resource_name) if self.stack_id else ("", self.url)


def address_of(config_id: str, target: SignalTarget) -> Tuple[str, str]:
    """Return the address of a signal. Outside of a stack it is the URL, or the delivery itself."""
    if target.stack_id:
        return target.stack_id, target.resource_name
    return "", target.secret.get("url", config_id)


def parse_list(deployments: Any) -> Tuple[Listed, ...]:
    """The entries of the list; what is malformed is left out."""
    found = []
    for item in deployments if isinstance(deployments, list) else ():
        try:
            inputs = {entry["name"]: entry.get("value") for entry in item["inputs"]}
            id, created = str(item["id"]), str(item["creation_time"])
            if is_outside_of_a_stack(inputs):
                url = inputs.get("deploy_signal_id")
                found.append(Listed(id, "", str(item["name"]), created, id if is_unset(url) else str(url)))
            else:
                stack, resource = str(inputs["deploy_stack_id"]), str(inputs["deploy_resource_name"])
                found.append(Listed(id, stack, resource, created))
        except (KeyError, TypeError, AttributeError):
            continue
    return tuple(found)


def overtaker(listed: Tuple[Listed, ...], config_id: str) -> Optional[str]:
    """The config id of a newer deployment of the same resource; while Heat replaces a failed deployment it lists
    both.
    """
    return _newer(listed, config_id, lambda entry: entry.place)


def _newer(listed: Tuple[Listed, ...], config_id: str, shared: Callable[[Listed], Tuple[str, str]]) -> Optional[str]:
    """Return the config id of the newest one of the newer entries that have the same ``shared``."""
    mine = next((entry for entry in listed if entry.id == config_id), None)
    if mine is None:
        return None
    newer = [entry for entry in listed if shared(entry) == shared(mine) and entry.created > mine.created]
    return max(newer, key=lambda entry: entry.created).id if newer else None


def heat_config_file() -> Path:
    """What heat-config reads its deployments from."""
    return Path(os.environ.get(HEAT_CONFIG[0], HEAT_CONFIG[1]))


def overtaken_on_arrival(config_id: str) -> Optional[str]:
    """Has heat-config, which has just called us, a newer deployment of the same resource in its list? Then its config
    id.
    """
    try:
        return overtaker(parse_list(read_json(read_bytes(heat_config_file(), LIST_LIMIT), LIST_LIMIT)), config_id)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning(logged(list=heat_config_file(), unusable="yes", why=words_of(error)))
        return None


def is_current(config_id: str, address: Tuple[str, str], collect_config: Path) -> Optional[bool]:
    """Does Heat still wait for the delivery? False only where it lists another one for the same address, None where it
    does not say.

    Asks with os-collect-config --print, which writes no cache. A Zaqar queue is never asked: reading takes the message
    away.
    """
    collectors = _collectors(collect_config)
    lists = list(_lists(_collected(collect_config, collectors))) if collectors else []
    if any(isinstance(item, dict) and item.get("id") == config_id for deployments in lists for item in deployments):
        return not any(_newer(parse_list(deployments), config_id, lambda entry: entry.address) for deployments in lists)
    others = [entry for deployments in lists for entry in parse_list(deployments)]
    # Without an entry for the address the signal ends no other deployment of this server. Heat's list does not have
    # the deployment of another server that has taken the same place in a group.
    return False if any(entry.address == address for entry in others) else None


def listed_ids(collect_config: Path) -> Optional[FrozenSet[str]]:
    """Return the ids of the deployments that Heat lists for this server; None where it does not say. Asks as
    is_current() does.
    """
    collectors = _collectors(collect_config)
    lists = list(_lists(_collected(collect_config, collectors))) if collectors else []
    items = (item for deployments in lists for item in deployments)
    return frozenset(str(item["id"]) for item in items if isinstance(item, dict) and "id" in item) if lists else None


def _collectors(collect_config: Path) -> Tuple[str, ...]:
    """Those that fetch what Heat lists, and that have credentials; none where one of them is a queue."""
    try:
        sections = _SECTION.findall(read_text(collect_config))
    except (OSError, UnicodeDecodeError):
        return ()
    return () if "zaqar" in sections else tuple(name for name in COLLECTORS if name in sections)


def _collected(collect_config: Path, collectors: Tuple[str, ...]) -> Any:
    """What the collectors fetch. Only they are asked: of the others ec2 waits ten seconds for nothing, and local dies
    of some locales.
    """
    import shutil  # late, as what starts processes: not every delivery comes here

    from os_update_agent.node.process import TooMuchOutput, run_to_file

    beside = Path(sys.executable).with_name("os-collect-config")
    program = str(beside) if beside.exists() else shutil.which("os-collect-config")
    if program is None:
        return None
    try:
        # The metadata hold secrets: they stay in memory, which also works while every disk is full. The errors of
        # os-collect-config may show them, and are dropped.
        with os.fdopen(os.memfd_create("os-collect-config", os.MFD_CLOEXEC), "w+b") as output:
            argv = [program, "--print", "--config-file", str(collect_config), *collectors]
            run_to_file(argv, output, timeout=COLLECT_SECONDS, errors=False, longest=LIST_LIMIT)
            output.seek(0)
            return read_json(output.read(LIST_LIMIT + 1), LIST_LIMIT)
    except (AgentError, OSError, ValueError) as error:
        why = "os-collect-config printed no metadata, so it is unknown whether Heat still waits for the result"
        beyond = str(error) if isinstance(error, (TooLarge, TooMuchOutput)) else "none"
        log.warning(logged(metadata="unreadable", error=type(error).__name__, why=why, limit=beyond))
        return None


def _lists(content: Any) -> Iterator[Any]:
    """The lists of deployments in what os-collect-config prints: a map from collector to metadata."""
    for metadata in content.values() if isinstance(content, dict) else ():
        if isinstance(metadata, dict) and isinstance(metadata.get("deployments"), list):
            yield metadata["deployments"]
