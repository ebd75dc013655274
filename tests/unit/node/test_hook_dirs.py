import hashlib

from os_update_agent.node.hook_dirs import step_environment


def test_a_step_is_told_value_digest_operation_and_outcome() -> None:
    assert step_environment("2024.05", "update") == {
        "OS_UPDATE_VALUE": "2024.05",
        "OS_UPDATE_VALUE_SHA256": hashlib.sha256(b"2024.05").hexdigest(),
        "OS_UPDATE_OPERATION": "update",
        "OS_UPDATE_OUTCOME": "",
    }
    assert step_environment("", "update", "undone")["OS_UPDATE_OUTCOME"] == "undone"


def test_a_value_loses_its_nuls_and_its_length_but_not_its_digest() -> None:
    value = "\0é" * 5000
    told = step_environment(value, "update")
    assert told["OS_UPDATE_VALUE"] == "é" * 4096
    assert told["OS_UPDATE_VALUE_SHA256"] == hashlib.sha256(value.encode()).hexdigest()


def test_half_a_surrogate_pair_does_not_stop_a_step() -> None:
    told = step_environment("a\ud800", "update")
    assert told["OS_UPDATE_VALUE"] == "a?"
    assert len(told["OS_UPDATE_VALUE_SHA256"]) == 64
