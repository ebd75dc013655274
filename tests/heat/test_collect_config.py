"""The /etc/os-collect-config.conf of hooks/templates/README.rst, with the values of a real DeployedServer, as the real
os-collect-config reads it.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

from chain.guest import installed_tools
from heat.conftest import NewStack

README = Path(__file__).resolve().parents[2] / "hooks/templates/README.rst"
TEMPLATE = """\
heat_template_version: 2018-08-31
resources:
  server: {{type: OS::Heat::DeployedServer, properties: {{software_config_transport: {transport}}}}}
outputs:
  os_collect_config: {{value: {{get_attr: [server, os_collect_config]}}}}
"""
SECTION = r"^    \[{name}\]\n((?:    \w+ = .*\n)+)"


def lines(section: str) -> str:
    found = re.search(SECTION.format(name=section), README.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, section
    return found.group(1).replace("    ", "")


@pytest.mark.parametrize(("section", "transport"), [("heat", "POLL_SERVER_HEAT"), ("cfn", "POLL_SERVER_CFN")])
def test_the_file_of_a_deployed_server(new_stack: NewStack, tmp_path: Path, section: str, transport: str) -> None:
    (tmp_path / "server.yaml").write_text(TEMPLATE.format(transport=transport), encoding="utf-8")
    attribute = new_stack(str(tmp_path / "server.yaml")).output("os_collect_config")
    names = [line.partition(" = ")[0] for line in lines(section).splitlines()]
    # The README names each value of the attribute, and no other.
    assert sorted(names) == sorted(attribute[section])
    values = "".join(f"{name} = {str(attribute[section][name]).replace('$', '$$')}\n" for name in names)
    default = re.sub("(?m)^collectors = .*$", f"collectors = {section}", lines("DEFAULT"))
    conf = tmp_path / "os-collect-config.conf"
    conf.write_text(f"[DEFAULT]\n{default}cachedir = {tmp_path}\n[{section}]\n{values}", encoding="utf-8")

    argv = [str(installed_tools() / "bin/os-collect-config"), "--config-file", str(conf), "--one-time", "--print"]
    read = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)

    assert json.loads(read.stdout)[section]["os-collect-config"][section] == attribute[section]
