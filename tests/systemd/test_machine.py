"""The machine of these tests is one: it boots, reboots and loses its power, and what was on its disk is there again."""

from systemd.machine import Machine


def test_a_machine_boots_reboots_and_survives_a_power_cut(machine: Machine) -> None:
    machine.write("/root/before", "written while it was off\n")
    machine.boot()
    assert machine.wait_until_booted() == "running"
    assert machine.run("cat", "/root/before").stdout == "written while it was off\n"
    ids = [machine.boot_id()]
    machine.run("touch", "/root/kept", "/run/lost")
    machine.run("systemctl", "reboot", check=False)
    machine.wait_for_reboot()
    ids.append(machine.boot_id())
    assert machine.path("/root/kept").exists()
    assert machine.run("test", "-e", "/run/lost", check=False).returncode == 1
    machine.cut_power()
    machine.boot()
    ids.append(machine.boot_id())
    assert len(set(ids)) == 3
    assert machine.path("/root/kept").exists()


def test_a_machine_sees_the_host_over_loopback_and_nothing_else(machine: Machine) -> None:
    (machine.directory / "www/hello").write_text("hello\n", encoding="utf-8")
    machine.boot()
    ask = (
        "import sys, urllib.request as r; print(r.urlopen(r.Request(sys.argv[1], data=sys.argv[2].encode() or"
        " None)).read().decode())"
    )
    assert machine.run("python3", "-c", ask, machine.url + "hello", "").stdout == "hello\n\n"
    machine.run("python3", "-c", ask, machine.url + "signal", "done")
    assert machine.posts() == [{"path": "/signal", "body": "done"}]
    machine.answer(503)
    assert "503" in machine.run("python3", "-c", ask, machine.url + "signal", "again", check=False).stderr
    assert len(machine.posts()) == 2
    assert (
        machine.run("python3", "-c", "import socket; print([name for _, name in socket.if_nameindex()])").stdout
        == "['lo']\n"
    )
