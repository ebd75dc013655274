"""A real Heat with one server, to play with until ^C: tests/run heat-lab [DIRECTORY]"""

import signal
import sys
import tempfile
from pathlib import Path

from heat.client import Heat
from heat.lab import Lab
from heat.one import ENVIRONMENT, TEMPLATE
from heat.server import Server
from packages.node import Template

TEXT = """\
A real Heat is up, with the stack "play" of one server, which polls it.

    . {lab}/openrc
    openstack stack show play
    # the second release is offered:
    openstack stack update --existing --parameter update_after_time="$(date -u +%FT%TZ)" play
    openstack stack output show --all play
    openstack stack update --existing --parameter update_after_time=first play                    # and back

    the server's packages: dpkg-query --admindir={server}/root/var/lib/dpkg --show
    its agent:             OS_UPDATE_AGENT_CONFIG={server}/etc/agent.conf {agent}
    its chain's log:       {server}/chain.log
    Heat's log:            {lab}/log/heat.log

^C ends it all; the files stay in {directory}.
"""


def main() -> None:
    directory = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="heat-lab-"))
    (directory / "release").mkdir(parents=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    release_one = Template.made_in(directory / "release")
    with Lab(directory / "lab") as lab:
        stack = Heat(lab).create("play", TEMPLATE, environments=[ENVIRONMENT], wait=False, update_after_time="first")
        with Server(directory / "server", release_one, stack.wait_for_output("os_collect_config")) as server:
            stack.wait_for("CREATE_COMPLETE")
            server.offer_two()
            agent = Path(sys.executable).with_name("os-update-agent")
            print(TEXT.format(lab=lab.directory, server=server.directory, directory=directory, agent=agent), flush=True)
            try:
                signal.pause()
            except KeyboardInterrupt:
                print("ending it")


if __name__ == "__main__":
    main()
