import pytest

from image.build import Built, built


@pytest.fixture(scope="session")
def image() -> Built:
    return built()


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the mark in the same hook.
def pytest_collection_modifyitems(items: "list[pytest.Item]") -> None:
    """One image, one process: the others would only wait for it."""
    for item in items:
        if item.path.parent.name == "image":
            item.add_marker(pytest.mark.xdist_group("image"))
