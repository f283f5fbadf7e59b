"""A path that a user gives is read in one place, where `~` means the home folder."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "svr_nb").rglob("*.py"))


def bare_paths(tree: ast.AST) -> list[str]:
    """Calls `Path(x)` of an argument x of the function that they stand in."""
    found = []
    for function in ast.walk(tree):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if function.name in ("file_path",):
            continue
        given = function.args
        names = {a.arg for a in [*given.posonlyargs, *given.args, *given.kwonlyargs]}
        for call in ast.walk(function):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
                continue
            first = call.args[0] if call.args and call.func.id == "Path" else None
            if isinstance(first, ast.Name) and first.id in names:
                found.append(f"{function.name}: {ast.unparse(call)}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT / "svr_nb")))
def test_no_argument_becomes_a_path_by_itself(path):
    found = bare_paths(ast.parse(path.read_text(encoding="utf-8")))
    assert not found, "; ".join(found)
