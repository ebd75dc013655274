"""A signed URL that Heat refuses: what else the node's own credentials can do."""

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from keystoneclient.contrib.ec2.utils import Ec2Signer

from os_update_agent.heat.alternate_targets import other_targets, signed_anew
from os_update_agent.model.deliveries import SignalTarget

URL = (
    "https://Heat.example:8000/v1/signal/arn%3Aopenstack%3Aheat%3A%3Aproject%3Astacks/web/68c97fbe/resources/update"
    "?Timestamp=2026-11-23T06%3A44%3A36Z&SignatureMethod=HmacSHA256&AWSAccessKeyId=old&SignatureVersion=2&Signature=b2xk%2B%3D"
)
TARGET = SignalTarget("CFN_SIGNAL", "web/68c97fbe", "update", "POST", {"url": URL})
CFN = "[cfn]\nmetadata_url = https://heat.example:8000/v1/\naccess_key_id = key\nsecret_access_key = se$$cret%s\n"
HEAT = (
    "[heat]\nauth_url = https://keystone.example/v3\nuser_id = u\npassword = pa$$ss%%\nproject_id = p\nstack_id ="
    " web/68c97fbe\n"
)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "os-collect-config.conf"
    path.write_text(text, encoding="utf-8")
    return path


def assert_verifies(url: str, access_key: str, secret: str) -> None:
    """As heat and keystone look at it: the signature is over the host, the decoded path and all other parameters."""
    parts = urlsplit(url)
    parameters = dict(parse_qsl(parts.query, strict_parsing=True))
    signature = parameters.pop("Signature")
    assert parameters["AWSAccessKeyId"] == access_key
    request = {"host": parts.netloc.lower(), "verb": "POST", "path": unquote(parts.path), "params": parameters}
    assert Ec2Signer(secret).generate(request) == signature


def test_a_url_that_is_signed_anew_has_the_same_place_and_no_time() -> None:
    url = signed_anew(URL, "key", "secret")
    old, new = urlsplit(URL), urlsplit(url)
    assert (new.scheme, new.netloc, new.path) == (old.scheme, old.netloc, old.path)
    assert "Timestamp" not in url and "old" not in url and "b2xk" not in url
    assert_verifies(url, "key", "secret")


def test_what_else_the_url_asks_for_is_kept_and_signed() -> None:
    url = signed_anew(f"{URL}&extra=a%20b%26c", "key", "secret")
    assert dict(parse_qsl(urlsplit(url).query))["extra"] == "a b&c"
    assert_verifies(url, "key", "secret")


def test_the_credentials_of_the_cfn_collector_sign_anew(tmp_path: Path) -> None:
    (other,) = other_targets(TARGET, written(tmp_path, CFN))
    assert (other.transport, other.stack_id, other.resource_name, other.verb) == (
        "CFN_SIGNAL",
        "web/68c97fbe",
        "update",
        "POST",
    )
    assert_verifies(other.secret["url"], "key", "se$cret%s")


def test_the_credentials_of_the_heat_collector_signal_as_the_server_s_user(tmp_path: Path) -> None:
    (other,) = other_targets(TARGET, written(tmp_path, HEAT))
    assert (other.transport, other.stack_id, other.resource_name, other.verb) == (
        "HEAT_SIGNAL",
        "web/68c97fbe",
        "update",
        "POST",
    )
    assert dict(other.secret) == {
        "auth_url": "https://keystone.example/v3",
        "user_id": "u",
        "password": "pa$ss%%",
        "project_id": "p",
    }
    (other,) = other_targets(TARGET, written(tmp_path, f"{HEAT}region_name = RegionOne\n"))
    assert other.secret["region_name"] == "RegionOne"


def test_the_url_is_tried_before_the_user(tmp_path: Path) -> None:
    others = other_targets(TARGET, written(tmp_path, f"[DEFAULT]\ncollectors = cfn\n{HEAT}{CFN}"))
    assert [other.transport for other in others] == ["CFN_SIGNAL", "HEAT_SIGNAL"]


@pytest.mark.parametrize(
    "lost", ["auth_url", "user_id", "password", "project_id", "access_key_id", "secret_access_key"]
)
def test_half_of_the_credentials_are_none(tmp_path: Path, lost: str) -> None:
    whole = CFN if lost in CFN else HEAT
    text = "".join(line for line in whole.splitlines(keepends=True) if not line.startswith(lost))
    assert other_targets(TARGET, written(tmp_path, text)) == ()


@pytest.mark.parametrize(
    "text", ["", "no section\n", "[cfn\n", "[DEFAULT]\naccess_key_id = key\nsecret_access_key = secret\n[cfn]\n"]
)
def test_a_file_without_credentials_gives_no_other_way(tmp_path: Path, text: str) -> None:
    assert other_targets(TARGET, written(tmp_path, text)) == ()


def test_a_file_that_is_not_there_or_is_no_text_gives_no_other_way(tmp_path: Path) -> None:
    assert other_targets(TARGET, tmp_path / "nowhere") == ()
    (tmp_path / "bytes").write_bytes(b"[cfn]\naccess_key_id = \xff\n")
    assert other_targets(TARGET, tmp_path / "bytes") == ()


@pytest.mark.parametrize("transport", ["TEMP_URL_SIGNAL", "HEAT_SIGNAL", "ZAQAR_SIGNAL", "NO_SIGNAL"])
def test_other_transports_have_no_other_way(tmp_path: Path, transport: str) -> None:
    target = SignalTarget(transport, "web/68c97fbe", "update", "PUT", {"url": URL})
    assert other_targets(target, written(tmp_path, CFN + HEAT)) == ()


def test_a_target_is_not_shown_with_its_secrets(tmp_path: Path) -> None:
    assert "cret" not in repr(other_targets(TARGET, written(tmp_path, CFN + HEAT))).replace("secret", "")
