"""Fresh outputs never replace those of a cell whose package is not installed here."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import nbformat
import pytest

SCRIPT = Path(__file__).resolve().parents[1] / ".ci" / "notebooks.py"


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """The script, as a module, with an empty folder in place of the project's."""
    spec = importlib.util.spec_from_file_location("notebooks_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def stored(folder: Path, tag: str) -> Path:
    """A notebook of one cell that prints "fresh" and has stored "old"."""
    old = nbformat.v4.new_output("stream", name="stdout", text="old\n")
    cell = nbformat.v4.new_code_cell("print('fresh')", outputs=[old], metadata={"tags": [tag]})
    path = folder / "one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    return path


@pytest.mark.parametrize(
    ("tag", "wanted"),
    [("needs:no_such_package", "old\n"), ("needs:json", "fresh\n"), ("x", "fresh\n")],
)
def test_outputs_of_a_missing_package_are_kept(notebooks, tmp_path, capsys, tag, wanted):
    path = stored(tmp_path, tag)
    notebooks.outputs([path])
    (cell,) = nbformat.read(path, as_version=4).cells
    assert "".join(cell.outputs[0]["text"]) == wanted
    assert cell.metadata["tags"] == [tag]
    assert ("no no_such_package here" in capsys.readouterr().out) == (wanted == "old\n")
