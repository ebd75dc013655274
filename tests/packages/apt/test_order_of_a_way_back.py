"""The order in which a way back unpacks: a program that scripts need must not meet a library that is too old for it.

Seen on the way from Debian 13 to 12: apt unpacks the old libc6 under the new /bin/sh, and no script runs any more.
"""

from typing import Tuple

import pytest

from os_update_agent.testing.repository import Deb
from packages.hand_apt import WAITS
from packages.node import Node

# What /bin/sh and libc6 are to each other: the program runs with a library that is new enough, and scripts need it.
LIBRARY, PROGRAM = '"$DPKG_ROOT/usr/lib/clib"', '"$DPKG_ROOT/usr/bin/shell"'
SHELL = f'[ ! -e {PROGRAM} ] || [ "$(cat {LIBRARY})" -ge "$(cat {PROGRAM})" ]'


def release(number: int) -> Tuple[Deb, ...]:
    """A library whose scripts need the program, and the program. With a lower and an upper bound, as libc-bin has them,
    apt unpacks the older library first.
    """
    needs = f"clib (>> {number}), clib (<< {number + 1})"
    return (
        Deb("clib", f"{number}.0", files={"usr/lib/clib": str(number)}, scripts={"postrm": SHELL, "postinst": SHELL}),
        Deb(
            "shell",
            f"{number}.0",
            fields={"Depends": needs, "Essential": "yes"},
            files={"usr/bin/shell": str(number)},
        ),
    )


def test_a_way_back_unpacks_a_program_before_the_older_library_that_it_would_not_run_with(node: Node) -> None:
    node.offer(*release(1))
    node.install_by_hand("clib", "shell")
    node.succeed("CREATE", "v1")
    one = node.packages()
    node.offer(*release(2))
    done = node.succeed("UPDATE", "v2")
    assert {"clib", "shell"} <= set(done.changes)
    node.succeed("UPDATE", "v1")
    assert node.packages() == one
    assert node.hand.faults() == ""


def test_a_library_and_its_leaving_successor_change_at_once_and_first(node: Node) -> None:
    """As libssl3 (Debian 12) and libssl3t64 (13): the same file in packages of two names, and essential programs need
    it.
    """
    library = {"usr/lib/ssl": "1\n"}
    relations = {name: "ssl (<< 2)" for name in ("Breaks", "Replaces")}
    new = Deb("ssl-new", "2.0", fields={**relations, "Provides": "ssl (= 2.0)"}, files=library)

    def program(version: str, needs: str) -> Deb:
        return Deb("program", version, fields={"Essential": "yes", "Pre-Depends": needs})

    node.offer(Deb("ssl", "1.0", files=library), program("1.0", "ssl (>= 1)"))
    node.install_by_hand("ssl", "program")
    # Since apt 3.2 an update removes no package that was installed by hand.
    node.hand.mark("auto", "ssl")
    node.succeed("CREATE", "v1")
    one = node.packages()
    node.offer(new, program("2.0", "ssl-new (>= 2)"))
    done = node.succeed("UPDATE", "v2")
    assert {"ssl", "ssl-new", "program"} <= set(done.changes)
    before = len(node.text("var/log/dpkg.log"))
    back = node.succeed("UPDATE", "v1")
    assert node.packages() == one
    assert node.text("usr/lib/ssl") == "1\n"
    assert "repaired" not in back.complaint
    steps = [line.split()[2:4] for line in node.text("var/log/dpkg.log")[before:].splitlines()]
    begun = [name.partition(":")[0] for step, name in steps if step in ("remove", "install", "upgrade")]
    assert begun == ["ssl-new", "ssl", "program"]


@pytest.mark.parametrize("moment", ["leaving", "between", "gone"])
def test_a_way_back_that_is_killed_between_a_successor_and_its_library_goes_on(node: Node, moment: str) -> None:
    """Once it is gone dpkg calls every package whole, although the program has lost its library."""
    waits = f'if [ -e "$DPKG_ROOT/run/hold" ]; then {WAITS}; fi'
    library = {"usr/lib/ssl": "1\n"}
    relations = {name: "ssl (<< 2)" for name in ("Breaks", "Replaces")}
    new = Deb(
        "ssl-new",
        "2.0",
        fields={**relations, "Provides": "ssl (= 2.0)"},
        files=library,
        scripts={"postrm": waits} if moment != "gone" else {},
    )

    def program(version: str, needs: str) -> Deb:
        return Deb("program", version, fields={"Essential": "yes", "Pre-Depends": needs})

    old = Deb("ssl", "1.0", files=library, scripts={"preinst": waits} if moment == "gone" else {})
    node.offer(old, program("1.0", "ssl (>= 1)"))
    node.install_by_hand("ssl", "program")
    # Since apt 3.2 an update removes no package that was installed by hand.
    node.hand.mark("auto", "ssl")
    node.succeed("CREATE", "v1")
    one = node.packages()
    node.offer(new, program("2.0", "ssl-new (>= 2)"))
    node.succeed("UPDATE", "v2")
    (node.root / "run/hold").touch()
    deployment = node.cut_off("UPDATE", "v1")
    (node.root / "run/hold").unlink()
    if moment == "between":
        # As if dpkg had still ended the removal.
        node.apt.dpkg("--force-depends", "--purge", "ssl-new")
        assert "ssl-new" not in node.versions() and "ssl" not in node.versions()
    done = node.start_with(deployment).wait()
    assert done.status == 0, done.complaint
    assert node.packages() == one and node.text("usr/lib/ssl") == "1\n"
