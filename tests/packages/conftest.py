import os
import subprocess
from pathlib import Path
from typing import Iterator

import pytest

from os_update_agent.testing.repository import missing_tools
from packages.node import Node, Template

# The tests with apt. The folder contract/ has nodes of every package manager, under names of its own: pytest keeps a
# session's fixture by its name and its parameter, and would hand one folder's to the other.


@pytest.fixture(scope="session")
def apt_template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    assert missing_tools() == []
    return Template.made_in(tmp_path_factory.mktemp("template"), "apt")


@pytest.fixture
def node(tmp_path: Path, apt_template: Template) -> Iterator[Node]:
    """A node that stands at release one; Heat has told it nothing yet."""
    with Node(tmp_path / "node", apt_template) as node:
        yield node


@pytest.fixture(scope="session")
def based_apt_template(tmp_path_factory: pytest.TempPathFactory, apt_template: Template) -> Template:
    return apt_template.recorded(tmp_path_factory.mktemp("based") / "node")


@pytest.fixture
def based(tmp_path: Path, based_apt_template: Template) -> Iterator[Node]:
    """A node that has recorded release one as its baseline "v1"."""
    with Node(tmp_path / "node", based_apt_template) as node:
        yield node


@pytest.fixture(scope="session")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a key to sign packages with, and its public half as key.asc."""
    directory = tmp_path_factory.mktemp("k")
    directory.chmod(0o700)
    environment = {**os.environ, "GNUPGHOME": str(directory)}
    who = "Demo <demo@example.org>"
    make = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", who, "rsa2048", "sign", "never"]
    subprocess.run(make, env=environment, check=True, capture_output=True)
    public = subprocess.run(
        ["gpg", "--armor", "--export", who], env=environment, check=True, capture_output=True
    ).stdout
    (directory / "key.asc").write_bytes(public)
    yield directory
    subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False)
