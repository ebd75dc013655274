"""The environment of the worker's unit, and that of os-collect-config's unit, with a real systemd."""

import json
from typing import Dict

from os_update_agent.node.service_environment import read_file, read_shown
from systemd.environment_file import FILE, VALUES
from systemd.machine import wait_for
from systemd.node import Node

HOOK = "/usr/libexec/heat-config/hooks/package-update"
# What a shell can pass on, and systemd does not take: the values are made up secrets.
ODD = r"""
export NOT_UTF8="$(printf 'secret-1\377')" LINES_OF_IT="$(printf 'secret-2\nB=c')" COLORS="$(printf 'secret-3\033[m')"
export LARGE="secret-4$(head -c 120000 /dev/zero | tr '\0' x)"
exec env 'A%%=secret-5' 'Ä=secret-6' "$@" < "$FILE" > /srv/out 2> /srv/hook.log
"""


def test_a_variable_that_systemd_does_not_take_stops_no_worker(node: Node) -> None:
    node.machine.run("systemctl", "stop", "os-collect-config.service")
    node.offer_two()
    file = node.file(node.deliver("UPDATE", "v2"))
    node.machine.run("env", f"FILE={file}", "sh", "-c", ODD, "sh", HOOK)
    result = json.loads(node.machine.read("/srv/out"))
    assert result["deploy_status_code"] == 0, result["deploy_stderr"]
    assert node.version("app") == "2 ii"
    said = node.machine.read("/srv/hook.log")
    assert 'left_out="A%%, COLORS, LARGE, LINES_OF_IT, NOT_UTF8, Ä"' in said
    node.machine.run("journalctl", "--sync")
    said += node.machine.run("journalctl", "--boot").stdout + node.logs()
    assert "secret-" not in said


def test_the_unit_that_resumes_has_the_proxy_and_the_certificates_of_os_collect_config(node: Node) -> None:
    machine = node.machine
    machine.run("systemctl", "stop", "os-collect-config.service")
    proxy = machine.url.replace("http://", "http://user:secr%24et@").rstrip("/")
    machine.write("/etc/default/collect", f"http_proxy='{proxy}'\nOTHER=not-for-us\n")
    machine.write(
        "/etc/systemd/system/os-collect-config.service.d/proxy.conf",
        '[Service]\nEnvironment="no_proxy=127.0.0.1, localhost" http_proxy=http://192.0.2.1/\n'
        "EnvironmentFile=-/etc/default/coll*\nEnvironmentFile=-/etc/default/none\n",
    )
    machine.run("systemctl", "daemon-reload")
    node.configure(signal_timeout=0.1)
    config_id = node.deliver("UPDATE", "v1")
    file = node.file(config_id)
    deployment = machine.read(file).replace(f"{machine.url}signal/", "http://heat.invalid/signal/")
    machine.write(file, deployment)
    machine.run("sh", "-c", f"{HOOK} < {file} > /srv/out 2> /srv/hook.log")
    assert [signal["deployment"] for signal in node.status()["signals"]["owed"]] == [config_id]
    machine.run("systemctl", "start", "os-update-agent-resume.service")

    def told() -> bool:
        return any(post["path"].startswith("http://heat.invalid/signal/") for post in machine.posts())

    wait_for(told, lambda: f"the signal through the proxy; {node.logs()}")
    node.rest()
    assert node.status()["signals"]["owed"] == []
    machine.run("journalctl", "--sync")
    said = machine.run("journalctl", "--boot").stdout + node.logs()
    assert "secr%24et" not in said and "secr$et" not in said


def test_settings_are_read_as_systemd_reads_them(node: Node) -> None:
    machine = node.machine
    machine.write("/etc/odd.env", FILE)
    machine.write(
        "/etc/systemd/system/odd.service",
        "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'env -0 > /srv/environment'\n"
        r"""Environment=P=http://u:p%%40ss@h:1 "N=a b, c" 'Q=q"uo\\te$x`y`' U=http://ä/ E="""
        "\n"
        r"""Environment="M=a\nb" "T=a\tb" "S=it's" """
        "\nEnvironmentFile=/etc/odd.env\n",
    )
    machine.run("systemctl", "start", "odd.service")
    lines = machine.read("/srv/environment").split("\0")
    real: Dict[str, str] = dict((line.partition("=")[0], line.partition("=")[2]) for line in lines)
    assert read_file(FILE) == VALUES == {name: real.get(name) for name in VALUES}
    shown = read_shown(
        machine.run("systemctl", "show", "--value", "--property=Environment", "--", "odd.service").stdout
    )
    assert set(shown) == set("PNQUMTES") and shown == {name: real.get(name) for name in shown}
