from pathlib import Path

from os_update_agent.packages.dnf.reboot import names_below


def test_an_operator_adds_names_and_nothing_that_is_no_name(tmp_path: Path) -> None:
    directory = tmp_path / "etc/dnf/plugins/needs-restarting.d"
    directory.mkdir(parents=True)
    (directory / "a.conf").write_text("qemu-kvm \n# why\n--all\nglibc\n*\n", encoding="utf-8")
    (directory / "a.conf.rpmsave").write_text("old\n", encoding="utf-8")
    assert set(names_below(tmp_path)) - set(names_below(tmp_path / "other")) == {"qemu-kvm"}
    assert names_below(tmp_path).count("glibc") == 1
