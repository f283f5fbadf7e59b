"""The site's pages follow from the notebooks, and nothing that is not meant for readers gets in."""

from __future__ import annotations

import json
import re

import pytest

from tests.docs.pages import ROOT, converter

import equations  # isort: skip
import frames  # isort: skip
import indexes  # isort: skip
import models  # isort: skip
import notebook_pages  # isort: skip
import reference  # isort: skip
import views  # isort: skip
from book import pages  # isort: skip
from check import Reader  # isort: skip
from site_map import COMPONENTS, LEARN, SYSTEMS, WORKSHOP  # isort: skip

ORDER = pages()


def place(key: str) -> notebook_pages.Place:
    """The place of a notebook's page."""
    path = next(page.path for page in ORDER if page.key == key)
    return notebook_pages.Place(path, ROOT / "_docs" / "source")


def test_every_part_of_the_book_has_its_place_on_the_site():
    parts = {page.part for page in ORDER} - {""}
    assert parts <= {*SYSTEMS, *WORKSHOP, *LEARN}
    assert set(COMPONENTS) <= {page.key for page in ORDER}


def test_no_solution_gets_in():
    for page in ORDER:
        inside = page.path.relative_to(ROOT).parts
        assert not any(piece.startswith(("_", ".")) for piece in inside), page.path
        book, _ = notebook_pages.page(notebook_pages.Place(page.path, ROOT))
        both = [*book["cells"], *json.loads(notebook_pages.for_colab(page.path))["cells"]]
        code = [cell["source"] for cell in both if cell["cell_type"] == "code"]
        text = "".join(notebook_pages.joined(source) for source in code)
        assert "### BEGIN SOLUTION" not in text and "### BEGIN HIDDEN TESTS" not in text


@pytest.mark.parametrize("key", COMPONENTS)
def test_a_page_has_no_directives_and_its_pictures_have_words(key: str):
    book, _ = notebook_pages.page(place(key))
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert not [cell for cell in code if re.match(r"#\s*\|", cell["source"])]
    assert all(cell["metadata"]["mystnb"]["image"]["alt"] for cell in code)
    assert "<!-- footer -->" not in json.dumps(book)


@pytest.mark.parametrize("key", COMPONENTS)
def test_colab_gets_a_first_cell_that_installs_the_library(key: str):
    book = json.loads(notebook_pages.for_colab(place(key).notebook))
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    first = "".join(code[0]["source"])
    assert "git clone" in first and '%pip install -q "/tmp/svr_nb[lab]"' in first
    folder = first.rpartition("/tmp/svr_nb/")[2].strip()
    assert (ROOT / folder / place(key).notebook.name).exists()
    assert not [cell for cell in code if cell["outputs"]]


def test_links_of_prose_hold_on_the_site():
    spot = place("lem.spatial_attention")
    text = notebook_pages.linked("[a](../index.ipynb) [b](900_lem.ipynb#the-thing) [c](#x)", spot)
    assert text == "[a](../tour.ipynb) [b](../lem/900_lem.ipynb#the-thing) [c](#x)"
    assert "/blob/" in notebook_pages.linked("[d](../../CONTRIBUTING.md)", spot)


def test_a_recording_takes_the_place_of_the_stored_picture(monkeypatch: pytest.MonkeyPatch):
    spot = place("lem.spatial_attention")
    book = json.loads(spot.notebook.read_text())
    live = [
        c for c in book["cells"] if c["cell_type"] == "code" and "explore(" in "".join(c["source"])
    ]
    cell = next(c for c in live if c["outputs"])
    tape = {"panels": {cell["id"]: {"controls": [], "frames": [], "keys": {}}}}
    monkeypatch.setattr(notebook_pages, "kept", lambda path: tape)
    page, files = notebook_pages.page(spot)
    assert list(files) == [f"lem-902_spatial_attention-{cell['id']}"]
    reader = Reader()
    for output in next(c for c in page["cells"] if c["id"] == cell["id"])["outputs"]:
        reader.feed(notebook_pages.joined(output.get("data", {}).get("text/html", "")))
    assert reader.panels == list(files) and not reader.wordless


def test_a_recording_belongs_to_one_state_of_the_code():
    first, second = (frames.marks(place(k).notebook) for k in COMPONENTS[:2])
    assert first == frames.marks(place(COMPONENTS[0]).notebook)
    assert first["cells"] != second["cells"] and first["library"] != second["library"]


@pytest.mark.parametrize("key", COMPONENTS)
def test_the_committed_recording_of_a_component_belongs_to_its_code(key: str):
    notebook = place(key).notebook
    tape = frames.opened(frames.committed_place(notebook))
    again = (
        f"run: python docs/frames.py {notebook.relative_to(ROOT)} && python docs/frames.py --commit"
    )
    assert tape and tape["marks"]["cells"] == frames.marks(notebook)["cells"], again
    panels = tape["panels"].values()
    moving = [c for panel in panels for c in panel["controls"] if len(c["labels"]) > 1]
    assert len(moving) >= 3
    assert all(len(panel["frames"]) > 1 for panel in panels)


def test_committed_recordings_are_small():
    sizes = [path.stat().st_size for path in frames.COMMITTED.glob("*")]
    assert len(sizes) == len(COMPONENTS) and sum(sizes) < 8_000_000


def test_a_recording_lasts_while_only_comments_of_the_notebook_change():
    plain = frames.without_comments("x = 1\n\n# why\ny = 2")
    assert plain == frames.without_comments("x = 1\ny = 2  ")
    assert plain != frames.without_comments("x = 1\ny = 3")


def test_a_recording_lasts_while_only_words_change(tmp_path):
    first, second, third = (tmp_path / f"{n}.py" for n in "abc")
    first.write_text('"""Says this."""\ndef f(x):\n    """And this."""\n    return x + 1\n')
    second.write_text("# why\n\ndef f(x):\n    return x + 1  # because\n")
    third.write_text("def f(x):\n    return x + 2\n")
    plain = [frames.bare(path) for path in (first, second, third)]
    assert plain[0] == plain[1] != plain[2]


@pytest.mark.parametrize("key", ["index", *COMPONENTS])
def test_a_component_shows_a_picture_and_its_shape(key: str):
    view = views.VIEWS[key]
    assert f"{view.system}-{view.category}" in {folder.name for folder in models.cards()}
    if key == "index":
        return
    spot = place(key)
    book, _ = notebook_pages.page(spot, "", views.figure(key, spot.root))
    reader = Reader()
    reader.feed(book["cells"][1]["source"])
    assert [f for f in reader.files if f.endswith(f"views/{key}.html")] and not reader.wordless


def test_a_texture_survives_finer_faces():
    import torch

    from svr_nb.shapes.mesh import Mesh

    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    uvs = torch.tensor([[[0.0, 0], [1, 0], [0, 1]], [[1, 0], [1, 1], [0, 1]]])
    given = Mesh(
        corners, torch.tensor([[0, 1, 2], [1, 3, 2]]), uvs=uvs, texture=torch.rand(3, 8, 8)
    )
    made = views.finer(given, 32)
    assert len(made.faces) == 32 and len(made.verts) == 25
    assert torch.allclose(made.areas().sum(), given.areas().sum())
    # On this square the chart is the place itself, on every finer corner as well.
    assert torch.allclose(made.uvs, made.verts[made.faces][..., :2])
    assert torch.equal(made.normals()[:1].expand(32, 3), made.normals())
    plain = Mesh(corners, given.faces)
    assert views.finer(plain, 32) is plain


def test_every_erratum_has_its_box():
    named, others = indexes.boxes()
    errata = indexes.load("errata")
    assert len(errata) == 34 and set(errata) <= set(named)
    assert others


def test_figures_and_words_lead_to_notebooks_that_exist():
    homes = equations.notebooks()
    for rows in indexes.load("figures").values():
        for row in rows:
            assert row.get("ours") or row.get("needs"), row
            assert all(f"svr_nb.{name.partition('#')[0]}" in homes for name in row.get("ours", []))
    assert all(f"svr_nb.{key}" in homes for _, key in indexes.load("glossary").values())


def test_evidence_and_networks_are_told_from_their_files():
    text = indexes.evidence_page()
    for path in (ROOT / "data_samples" / "evidence").glob("*.json"):
        told = {*indexes.EVIDENCE, *indexes.ELSEWHERE}
        assert path.stem in told, f"{path.name} is on no page"
    parts = [line for line in text.splitlines() if line.startswith("## ")]
    assert "±" in text and len(parts) == 1 + len(indexes.EVIDENCE)
    assert "claim" in parts[0] and text.count("| holds |") > 5 and "### LEM" in text
    assert models.page().count("## ") == len(models.cards())


def test_every_sheet_was_drawn_with_the_network_that_ships():
    assert not models.behind(), f"run: python docs/models.py {' '.join(models.behind())}"


def test_a_docstring_becomes_arguments_errors_and_source():
    said = reference.read(
        "One sentence.\n\nx: points (n, 3).\n    more of it.\nRaises InputError. Source: LEM, Eq. 1.",
        {"x"},
    )
    assert said.text == ["One sentence."] and said.arguments == [
        ("x", "points (n, 3). more of it.")
    ]
    assert said.ends == ["Raises InputError.", "Source: LEM, Eq. 1."]


def test_arguments_that_share_a_line_are_told_apart():
    said = reference.read("One.\n\na: (n, 3). b: metres, c: no.", {"a", "b", "c"})
    assert said.arguments == [("a", "(n, 3)."), ("b", "metres, c: no.")]


def test_every_public_name_has_its_place_on_the_api_pages():
    for name, part, _ in equations.documented():
        if name.count(".") == 3 and part == "lem":
            module = ROOT.joinpath(*name.split(".")[:-1]).with_suffix(".py")
            if module.exists():
                assert f" {name}(" in reference.module_page(module, "x"), name


def test_every_formula_of_the_book_is_understood():
    """No command is left over in what the converter makes."""
    mathml, wrong = converter(), []
    for page in ORDER:
        for cell in json.loads(page.path.read_text())["cells"]:
            prose = notebook_pages.joined(cell["source"]) if cell["cell_type"] == "markdown" else ""
            prose = re.sub(r"```.*?```|`[^`]*`", "", prose, flags=re.S)
            for found in re.finditer(r"\$\$(.+?)\$\$|(?<![\\$])\$([^$\n]+?)\$", prose, re.S):
                formula = found[1] or found[2]
                if "\\" in re.sub(r"<[^>]+>", "", mathml.mathml(formula, "inline")):
                    wrong.append(f"{page.key}: {formula}")
    assert not wrong


def test_formulas_are_drawn_without_scripts():
    mathml = converter()
    assert "<mfrac>" in mathml.mathml(r"\frac{a}{b}", "inline")
    assert "(3)" in mathml.mathml(r"a \tag{3}", "block")
    assert mathml.mathml(r"a &= b \\ c &= d", "block").count("<mtr>") == 2
