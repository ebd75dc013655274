"""The rehearsal of a way back before the way there is taken: it finds what rpm would refuse, and changes nothing."""

import hashlib
import json
import subprocess
from dataclasses import replace
from typing import Dict, List, Tuple

from os_update_agent.testing.rpm_repository import Rpm
from packages.node import Node

# Runs where dnf is. It plans an update and asks for the rehearsal; argv[1:] are names whose old files are not at hand.
PROGRAM = """
import json, os, sys
from os_update_agent.config.policy import Policy
from os_update_agent.config.settings import load
from os_update_agent.model.packages import Selection
from os_update_agent.packages.state import expected, transaction
from os_update_agent.runtime.context import open_site
site = open_site(load(os.environ["OS_UPDATE_AGENT_CONFIG"]))
backend = site.backend(Policy())
archive = site.archive(backend)
archive.prepare()
with backend.session():
    backend.refresh()
    before = backend.capture()
    after = expected(before, backend.candidates(before, Selection())[0])
    ways = transaction(before, after), transaction(after, before)
    for way in ways:
        archive.obtain(way.install)
    forward, back = (
        way._replace(files=tuple(str(path) for path in archive.files(way.install)
                                 if way is ways[0] or path.name.split("-")[0] not in sys.argv))
        for way in ways
    )
    print(json.dumps(backend.check_undo(forward, back)))
"""


def checked(node: Node, *absent: str) -> Tuple[List[str], List[str]]:
    """Return the answer for the update that the repository offers: what is refused, and what is unchecked."""
    before = database(node), node.tree(), node.packages()
    argv = [*node.hand.wrapper, node.hand.python, "-c", PROGRAM, *absent]
    done = subprocess.run(argv, env=node.environment(), text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (database(node), node.tree(), node.packages()) == before
    refused, unchecked = json.loads(done.stdout)
    return refused, unchecked


def database(node: Node) -> Dict[str, str]:
    """Return the content of rpm's database. The shared memory of SQLite changes with every reader."""
    files = (path for path in (node.root / "var/lib/rpm").iterdir() if not path.name.endswith("-shm"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rpm(name: str, version: str, kind: str) -> Rpm:
    """A package that has /usr/share/NAME in some way. A new one makes room for what replaces a directory."""
    place = f"/usr/share/{name}"
    inside = {f"{place}/f": version}
    room = {"pretrans": f'posix.unlink("{place}/f"); posix.rmdir("{place}")'} if version == "2.0" else {}
    if kind == "owned":
        return Rpm(name, version, files=inside, directories=[place])
    if kind == "inside":
        return Rpm(name, version, files=inside)
    if kind == "link":
        return Rpm(name, version, files={f"{place}-e/f": version}, links={place: f"{name}-e"}, scripts=room)
    if kind == "dangling":
        return Rpm(name, version, links={place: "nowhere"}, scripts=room)
    return Rpm(name, version, files={place: version}, scripts=room)


# The type of a path in each package, before and after the update.
REFUSED = {"one": ("owned", "link"), "two": ("file", "owned"), "three": ("inside", "file")}
TAKEN = {"four": ("owned", "dangling"), "five": ("owned", "file"), "six": ("inside", "inside")}
SAID = (
    "one-1.0-1.x86_64 has /usr/share/one as a directory, which is a link to a directory in one-2.0-1.x86_64",
    "two-1.0-1.x86_64 has /usr/share/two as a file, and rpm cannot replace the directory there",
    "three-1.0-1.x86_64 has files below /usr/share/three, and rpm makes no directory in place of the file or link",
)


def test_types_that_rpm_would_not_take_back_are_found(based: Node) -> None:
    """And rpm says the same when the way back is taken."""
    both = {**REFUSED, **TAKEN}
    based.offer(*(rpm(name, "1.0", old) for name, (old, _) in both.items()))
    based.install_by_hand(*both)
    based.succeed("UPDATE", "v1.1", packages="nothing*")
    tree = based.tree()
    based.offer(*(rpm(name, "2.0", new) for name, (_, new) in TAKEN.items()))
    assert checked(based) == ([], [])
    based.succeed("UPDATE", "v2")
    based.succeed("UPDATE", "v1.1")
    assert based.tree() == tree
    based.offer(*(rpm(name, "2.0", new) for name, (_, new) in REFUSED.items()))
    refused, unchecked = checked(based)
    assert unchecked == [] and len(refused) == len(SAID)
    assert all(any(line.startswith(said) for line in refused) for said in SAID)
    based.succeed("UPDATE", "v3")
    failed = based.fail("UPDATE", "v1.1")
    assert "nothing was changed" in failed.complaint and all(said in failed.complaint for said in SAID[1:])


def test_a_script_that_may_make_room_and_a_file_that_is_missing_are_named(based: Node) -> None:
    two = replace(rpm("two", "1.0", "file"), scripts={"pretrans": "return 0"})
    based.offer(two, Rpm("other", "1.0"), rpm("away", "1.0", "inside"))
    based.install_by_hand("two", "other", "away")
    based.offer(rpm("two", "2.0", "owned"), Rpm("other", "2.0"), rpm("away", "2.0", "link"))
    astray = (
        "away-1.0-1.x86_64 has files below /usr/share/away, and rpm puts them elsewhere as long as away-2.0-1.x86_64"
        " has a link to a directory at /usr/share/away"
    )
    assert checked(based) == ([], [astray, f"{SAID[1]}; only its scripts can make room for it"])
    refused, unchecked = checked(based, "other")
    assert refused == [] and len(unchecked) == 3
    assert unchecked[2].endswith("package files are not at hand yet: other-1.0-1.x86_64")


def test_what_rpm_lets_in_only_by_force_is_found(based: Node) -> None:
    """The state before the update is one that rpm would not install."""
    forced: List[Rpm] = [
        Rpm("needy", "1.0", requires=["nobody-has-this"]),
        Rpm("greedy", "1.0", files={"/usr/share/tool": "mine\n"}),
    ]
    based.offer(*forced)
    for one, option in zip(forced, ("--nodeps", "--replacefiles")):
        path = based.repository.directory / one.file
        based.dnf.rpm("-i", option, str(path)).check_returncode()
    based.offer(Rpm("needy", "2.0"), Rpm("greedy", "2.0"))
    refused, _ = checked(based)
    assert len(refused) == 1 and "nobody-has-this" in refused[0] and "needed by" in refused[0]
    based.hand.remove("needy")
    refused, unchecked = checked(based)
    assert unchecked == [] and len(refused) == 1
    assert "file /usr/share/tool from install of greedy-1.0-1" in refused[0] and "conflicts with file" in refused[0]
