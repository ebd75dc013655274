"""The environment of a service as text. That systemd reads it in the same way is tested with a real one
(tests/systemd/test_environment.py).
"""

from typing import Dict

import pytest

from os_update_agent.delivery.network import missing
from os_update_agent.node.service_environment import (
    NETWORK,
    environment_text,
    read_file,
    read_files_shown,
    read_shown,
    usable,
)
from systemd.environment_file import FILE, VALUES


@pytest.mark.parametrize(
    "name, value",
    [
        ("A", "\udcff"),
        ("A", "caf\udce9"),
        ("A", "\ud800"),
        ("A", "two\nlines"),
        ("A", "\x1b[31m"),
        ("A", "x" * 130_000),
        ("BASH_FUNC_x%%", "() { :; }"),
        ("Ä", "x"),
        ("\udcff", "x"),
    ],
)
def test_what_a_service_cannot_get_is_left_out_and_named(name: str, value: str) -> None:
    kept, left = usable({name: value, "PATH": "/bin", "INVOCATION_ID": "the caller's own"})
    assert (kept, left) == ({"PATH": "/bin"}, (name,))
    assert environment_text({name: value, "PATH": "/bin"}) == 'PATH="/bin"\n'


def test_an_environment_that_is_too_large_loses_what_is_largest() -> None:
    many = {f"LARGE_{number}": "x" * 90_000 for number in range(30)}
    kept, left = usable({**many, "https_proxy": "http://proxy:3128"})
    assert kept["https_proxy"] and sum(map(len, kept.values())) < 1_000_000
    assert set(left) | set(kept) == {*many, "https_proxy"} and len(left) > 10


@pytest.mark.parametrize("value", ["", "a b", " a ", 'quote" \\ $x `y`', "tab\there", "ü", "'", "#no comment", "a\\"])
def test_a_file_is_read_as_it_was_written(value: str) -> None:
    assert read_file(environment_text({"A": value, "B": "b"})) == {"A": value, "B": "b"}


def test_a_file_is_read_as_systemd_reads_it() -> None:
    assert read_file(FILE) == VALUES


@pytest.mark.parametrize("text", ["", "\n", "A", "=", "=x\n", "#", "#\\", '"', "A='", "A=\\", "\\", "A\n=b"])
def test_a_file_of_any_text_is_read(text: str) -> None:
    read_file(text)


@pytest.mark.parametrize(
    "shown, found",
    [
        ("\n", {}),
        ("A=1 B=2\n", {"A": "1", "B": "2"}),
        ('"NO_PROXY=a b, c" A=1\n', {"NO_PROXY": "a b, c", "A": "1"}),
        (r'"A=q\"uo\\te\$x\`y\`" EMPTY= "T=a\tb\nc"' + "\n", {"A": 'q"uo\\te$x`y`', "EMPTY": "", "T": "a\tb\nc"}),
        # systemd 239 quotes nothing.
        ("no_proxy=a, b A=1\n", {"no_proxy": "a, b", "A": "1"}),
    ],
)
def test_what_systemctl_shows_is_read(shown: str, found: Dict[str, str]) -> None:
    assert read_shown(shown) == found


def test_the_files_that_systemctl_shows_are_read() -> None:
    shown = "/etc/default/a b (ignore_errors=yes)\n/etc/x.d/*.env (ignore_errors=no)\n"
    assert read_files_shown(shown) == ("/etc/default/a b", "/etc/x.d/*.env")
    assert read_files_shown("\n") == ()


def test_only_the_network_is_taken_over_and_only_what_is_missing() -> None:
    others = {"https_proxy": "http://u:p@proxy", "NO_PROXY": "x", "SSL_CERT_FILE": "/c.pem", "LD_PRELOAD": "/evil.so"}
    assert missing({"no_proxy": "mine"}, others) == {"https_proxy": "http://u:p@proxy", "SSL_CERT_FILE": "/c.pem"}
    assert {"http_proxy", "HTTPS_PROXY", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} <= NETWORK
