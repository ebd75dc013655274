"""The layout of the tests: files are named after what they check, and none is a library of another one."""

import ast
from pathlib import Path
from typing import Iterator, List

TESTS = Path(__file__).parents[1]
ROOMS = TESTS.parent / "agent/os_update_agent"


def files_of_tests() -> List[Path]:
    return sorted(TESTS.rglob("test_*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_module_of_the_tests_imports_a_test_file() -> None:
    """What several tests share belongs in a scene module, in a conftest or in the agent's testing/."""
    names = {".".join(path.relative_to(TESTS).with_suffix("").parts) for path in files_of_tests()}
    assert "unit.test_layout" in names
    wrong = [
        f"{path.relative_to(TESTS)} imports {name}"
        for path in sorted(TESTS.rglob("*.py"))
        for name in imported(path)
        if name in names or name.rpartition(".")[0] in names
    ]
    assert wrong == []


def test_no_file_is_named_after_the_review_that_asked_for_its_tests() -> None:
    assert [str(path.relative_to(TESTS)) for path in files_of_tests() if "review" in path.name] == []


def test_the_folders_of_the_unit_tests_are_folders_of_the_agent() -> None:
    folders = [path.parent.relative_to(TESTS / "unit") for path in (TESTS / "unit").rglob("test_*.py")]
    assert [str(folder) for folder in sorted(set(folders)) if not (ROOMS / folder / "__init__.py").is_file()] == []


def test_every_folder_with_tests_is_a_package_so_that_two_files_may_have_one_name() -> None:
    folders = {path.parent for path in files_of_tests()}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []
