"""The shipped templates as files: they agree with the agent, with each other and with their README. A real Heat runs
them in tests/heat.
"""

import json
import re
from pathlib import Path
from typing import Any, Dict, List, Set

import pytest
import yaml

from os_update_agent.config import policy
from os_update_agent.model.deliveries import Deployment
from os_update_agent.text.outputs import OUTPUTS

TEMPLATES = Path(__file__).parents[2] / "hooks/templates"
FILES = sorted(path.name for path in TEMPLATES.iterdir() if path.name != "README.rst")
HOT = sorted(name for name in FILES if "\nresources:" in (TEMPLATES / name).read_text(encoding="utf-8"))
REGISTERED = yaml.safe_load((TEMPLATES / "environment.yaml").read_text(encoding="utf-8"))["resource_registry"]


def content(name: str) -> Dict[str, Any]:
    return dict(yaml.safe_load((TEMPLATES / name).read_text(encoding="utf-8")))


def test_the_config_declares_every_output_of_the_agent() -> None:
    config = content("package-update-config.yaml")["resources"]["config"]["properties"]
    assert [output["name"] for output in config["outputs"] if not output.get("error_output")] == list(OUTPUTS)
    # The agent leaves out all that begins with deploy_.
    assert [entry["name"] for entry in config["inputs"]] == [policy.DEFAULT_TRIGGER, "deploy_place"]


@pytest.mark.parametrize("name", FILES)
def test_each_begins_with_what_it_is_for_and_its_limits(name: str) -> None:
    lines = (TEMPLATES / name).read_text(encoding="utf-8").splitlines()
    start = 1 if lines[0].startswith("#!") else 0
    assert lines[start].startswith("# ")
    if name in HOT and name != "updated-server.yaml":
        header = "\n".join(lines[: lines.index("")])
        assert "Limits: " in header or "What it cannot do" in header
    assert max(map(len, lines)) <= 140


@pytest.mark.parametrize("name", HOT)
def test_every_type_of_ours_is_registered(name: str) -> None:
    used = set(re.findall(r"type: (UpdateAgent::\w+)", (TEMPLATES / name).read_text(encoding="utf-8")))
    assert used <= set(REGISTERED)
    assert all((TEMPLATES / file).is_file() for file in REGISTERED.values())


@pytest.mark.parametrize("name", [name for name in HOT if name != "seed.yaml"])
def test_every_deployment_hears_of_create_too(name: str) -> None:
    """Heat replaces what has failed: with actions [UPDATE] its retry and its rollback are not delivered."""
    for resource in content(name)["resources"].values():
        assert "actions" not in resource.get("properties", {})


def test_the_options_that_phases_sets_are_options() -> None:
    units = {"units": ["nginx.service"]}
    for name, resource in content("phases.yaml")["resources"].items():
        if resource["type"] == "UpdateAgent::PackageUpdateConfig":
            options = resource["properties"]["options"]
            merged = options["map_merge"][1]["if"][1] if "map_merge" in options else {**options, **units}
            given = {key: value for key, value in merged.items() if not isinstance(value, dict)}
            assert policy.read(Deployment(name, name, "UPDATE", "s", "r", "n", options=given), {}).key, json.dumps(
                merged
            )


def test_the_readme_names_every_file() -> None:
    text = (TEMPLATES / "README.rst").read_text(encoding="utf-8")
    inner = {"updated-server.yaml", "server-deployed.yaml", "package-update-config.yaml"}
    assert [name for name in FILES if f"``{name}``" not in text and name not in inner] == []


def test_a_test_stands_behind_each_row_of_what_the_stack_says() -> None:
    """The tests of tests/heat name the rows that they prove: "# row: UPDATE_COMPLETE"."""
    readme = (TEMPLATES / "README.rst").read_text(encoding="utf-8")
    table = readme.partition("\nWhat the stack says, what the nodes are\n")[2].partition("\nWhere to look first")[0]
    _, _, body, _ = re.split(r"^=[= ]+$", table, flags=re.MULTILINE)
    width = table.split()[1].count("=")
    rows: List[str] = []
    for line in body.strip("\n").splitlines():
        first = line[:width].strip()
        if first:
            rows.append(first)
    proved: Set[str] = set()
    for path in (TEMPLATES.parents[1] / "tests/heat").glob("test_*.py"):
        proved.update(re.findall(r"# row: (.+)", path.read_text(encoding="utf-8")))
    assert len(rows) == 11
    assert set(rows) == proved
