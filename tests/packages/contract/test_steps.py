"""The operator's own steps around an update, and other operations than update."""

from packages.faulty import FaultyServer
from packages.node import Node
from packages.scene import Pkg

TWO = Pkg("tool", "2.0")


def test_steps_run_in_order_and_know_value_operation_and_outcome(based: Node) -> None:
    for place in ("pre-update.d/20-b", "pre-update.d/10-a", "health.d/50-ping", "post-update.d/10-back"):
        based.step(place)
    based.offer(TWO)
    based.succeed("UPDATE", "v2")
    assert based.ran() == [
        "pre-update.d/10-a v2 update []",
        "pre-update.d/20-b v2 update []",
        "health.d/50-ping v2 update []",
        "post-update.d/10-back v2 update [success]",
    ]
    based.succeed("UPDATE", "v1")
    assert based.ran()[-1] == "post-update.d/10-back v1 restore [success]"


def test_a_failing_health_check_undoes_the_update(based: Node) -> None:
    one = based.packages()
    based.step("health.d/10-ping", "echo no answer on port 80; exit 1")
    based.step("post-update.d/10-back")
    based.offer_two()
    failed = based.fail("UPDATE", "v2")
    assert based.packages() == one
    assert "health.d/10-ping ended with exit status 1: no answer on port 80" in failed.complaint
    assert "the node has the packages that it had before" in failed.complaint
    assert based.ran()[-1] == "post-update.d/10-back v2 update [undone]"
    assert based.history().current == "v1"


def test_what_was_downloaded_before_is_updated_while_the_repository_gives_no_package(based: Node) -> None:
    one = based.packages()
    based.offer_two()
    with FaultyServer(based.repository.directory) as server:
        based.hand.use(server.url)
        done = based.succeed("UPDATE", "d2", resource="download", operation="download")
        assert based.packages() == one
        assert "downloaded for 'd2'" in done.told
        # Not the index: law 3's strict refresh is asked for by every update.
        server.faults[f".{based.hand.suffix}"] = "503"
        server.requests.clear()
        based.succeed("UPDATE", "v2")
        assert based.versions()["app"] == "2.0-1"
        assert not any(path.endswith(f".{based.hand.suffix}") for path in server.requests)
        based.succeed("UPDATE", "v1")
        assert based.packages() == one


def test_an_assessment_tells_the_plan_and_touches_nothing(based: Node) -> None:
    one = based.packages()
    history = based.history()
    based.offer_two()
    done = based.succeed("UPDATE", "v2", operation="assess")
    assert based.packages() == one
    assert "extra: 2.0-1 (new)" in done.told
    assert done.held_back == {"heldpkg": based.hand.held}
    assert done.body["changes"]["count"] == 7
    assert "v2" not in [record.value for record in based.history().records if record.is_reached]
    assert based.history().current == history.current
    assert not list(based.archive.glob(f"*.{based.hand.suffix}"))
    based.succeed("UPDATE", "v2")
    assert based.versions()["app"] == "2.0-1"
