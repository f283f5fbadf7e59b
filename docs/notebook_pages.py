"""Notebooks as pages of the site: directives taken out, panels put in, links kept.

The stored outputs are shown as they are. A live panel becomes its recording (docs/frames.py) if
there is one for this very code, and otherwise stays the picture that was stored.
"""

from __future__ import annotations

import ast
import base64
import copy
import html
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

from frames import LIVE, kept
from site_map import BRANCH, REPOSITORY, ROOT

DIRECTIVE = re.compile(r"^\s*#\s*\|\s*([\w-]+)")
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
FOOTER = "<!-- footer -->"
HEADING = re.compile(r"^(#{1,4}) (.+)$", re.M)
# Notebooks read samples that lie beside them in the repository, so the whole of it is fetched.
INSTALL = """\
# A first cell for Colab: the repository, and the library from it.
!test -d /tmp/svr_nb || git clone -q --depth 1 --branch {branch} {repository} /tmp/svr_nb
%pip install -q "/tmp/svr_nb[lab]"
%cd -q /tmp/svr_nb/{folder}
"""


@dataclass(frozen=True)
class Place:
    """Where a notebook's page goes: its file, the folder of the pages, and of static files."""

    notebook: Path
    pages: Path

    @property
    def name(self) -> str:
        """The page's name, without an ending; the tour is not the landing page."""
        inside = self.notebook.relative_to(ROOT / "nbs").with_suffix("").as_posix()
        return "tour" if inside == "index" else inside

    @property
    def root(self) -> str:
        """The way from the page to the top of the site."""
        return "../" * self.name.count("/")

    @property
    def tag(self) -> str:
        """A word for file names."""
        return self.name.replace("/", "-")


def plain(title: str) -> str:
    """A heading without marks of Markdown."""
    title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
    return re.sub(r"[*`$]", "", title).strip()


def page(place: Place, opener: str = "", view: str = "") -> tuple[dict, dict[str, str]]:
    """A notebook as myst-nb reads it, and the files of its panels by name.

    place: of the notebook.
    opener: what an opener of a part says after its text: the list of its pages.
    view: HTML of a shape that turns, put under the first cell.
    """
    book = json.loads(place.notebook.read_text(encoding="utf-8"))
    tape = kept(place.notebook) or {"panels": {}}
    files: dict[str, str] = {}
    cells, heading = [], ""
    for number, cell in enumerate(book["cells"]):
        source = "".join(cell["source"])
        if source.startswith(FOOTER):
            continue
        if cell["cell_type"] == "markdown":
            titles = HEADING.findall(source)
            heading = plain(titles[-1][1]) if titles else heading
            text = linked(source, place)
            if number == 0 and place.name == "tour":  # the first page of the site has its name
                text = re.sub(r"^# .*", "# The tour", text)
            cells.append(markdown(with_tools(text, place) if number == 0 else text, cell))
            if view and number == 0:
                text = f"```{{raw}} html\n{view}\n```"
                cells.append(markdown(text, {"id": "turning-view"}))
            continue
        shown = code(cell, source, heading)
        if shown is None:
            continue
        if cell["id"] in tape["panels"]:
            name = f"{place.tag}-{cell['id']}"
            files[name] = json.dumps(tape["panels"][cell["id"]], separators=(",", ":"))
            shown["outputs"] = played(shown["outputs"], name, place, heading)
        elif any(call in source for call in LIVE) and not DIRECTIVE.match(source):
            shown["outputs"] = still(shown["outputs"], place)
        cells.append(shown)
    if opener:
        cells.append(markdown(opener, {"id": "pages"}))
    book["cells"] = cells
    book["metadata"]["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    return book, files


def markdown(text: str, cell: dict) -> dict:
    """A cell of prose."""
    return {"cell_type": "markdown", "id": cell["id"], "metadata": {}, "source": text}


def code(cell: dict, source: str, heading: str) -> dict | None:
    """A cell of code without its directives; None if a reader need not see it."""
    words = []
    lines = source.split("\n")
    while lines and DIRECTIVE.match(lines[0]):
        words.append(DIRECTIVE.match(lines.pop(0))[1])
    if {"hide", "default_exp", "exporti"} & set(words):
        return None
    tags = list(cell["metadata"].get("tags", []))
    tags += ["exported"] if "export" in words else []
    body = "\n".join(lines).strip("\n")
    if body == "from __future__ import annotations":
        return None
    tags += ["hide-input"] if only_imports(body) and not cell["outputs"] else []
    metadata = {"tags": tags, "mystnb": {"image": {"alt": heading or "picture"}}}
    outputs = [o for o in map(output, cell["outputs"]) if o]
    return {
        "cell_type": "code",
        "id": cell["id"],
        "metadata": metadata,
        "source": body,
        "outputs": outputs,
        "execution_count": None,
    }


def only_imports(code: str) -> bool:
    """Whether a cell brings in names and does nothing else; such cells are folded."""
    try:
        body = ast.parse(code).body
    except SyntaxError:  # magic lines
        return False
    for_types = lambda node: isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    brings = lambda node: isinstance(node, (ast.Import, ast.ImportFrom)) or for_types(node)
    return bool(body) and all(map(brings, body))


def output(given: dict) -> dict | None:
    """A stored output that a page can show."""
    given = copy.deepcopy(given)
    data = given.get("data")
    if data is not None:
        for kind in ("application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json"):
            data.pop(kind, None)
        if "image/png" in data and "text/html" not in data:
            data.pop("text/plain", None)
        if not data:
            return None
    return given


def joined(text: str | list[str]) -> str:
    """A text of a notebook, which may be a list of lines."""
    return text if isinstance(text, str) else "".join(text)


def first_picture(outputs: list[dict]) -> tuple[int, str]:
    """Place and base64 text of the last stored picture; -1 if there is none."""
    for i in range(len(outputs) - 1, -1, -1):
        if "image/png" in outputs[i].get("data", {}):
            return i, joined(outputs[i]["data"]["image/png"]).replace("\n", "")
    return -1, ""


def as_webp(png: str) -> tuple[str, int, int]:
    """A stored picture, smaller, with its width and height."""
    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    if picture.width > 860:
        size = (860, round(picture.height * 860 / picture.width))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=82, method=4)
    return base64.b64encode(file.getvalue()).decode(), picture.width, picture.height


def played(outputs: list[dict], name: str, place: Place, heading: str) -> list[dict]:
    """The outputs of a cell with its panel's recording in the place of the picture."""
    at, png = first_picture(outputs)
    alt = html.escape(heading or "live panel", quote=True)
    picture = ""
    if png:
        text, width, height = as_webp(png)
        size_of = f'width="{width}" height="{height}"'
        picture = f'<img src="data:image/webp;base64,{text}" {size_of} alt="{alt}">'
    figure = (
        f'<figure class="panel" data-panel="{name}" data-root="{place.root}" data-alt="{alt}">'
        f"{picture}<noscript>With JavaScript this panel can be moved.</noscript></figure>"
    )
    made = {"output_type": "display_data", "metadata": {}, "data": {"text/html": figure}}
    kept_ones = [
        o for i, o in enumerate(outputs) if i != at and "text/html" not in o.get("data", {})
    ]
    return [*kept_ones, made]


def still(outputs: list[dict], place: Place) -> list[dict]:
    """The outputs of a live cell that was not recorded, and a word about it."""
    shown = [o for o in outputs if o.get("data")]
    if not shown:
        return outputs
    notebook = place.notebook.relative_to(ROOT).as_posix()
    note = (
        '<p class="panel-note">A live panel, as it was drawn when the notebook was stored; '
        f"to move it, run <code>make lab</code> and open <code>{notebook}</code>.</p>"
    )
    made = {"output_type": "display_data", "metadata": {}, "data": {"text/html": note}}
    return [*outputs, made]


def anchored(anchor: str) -> str:
    """An anchor as the pages write it; JupyterLab keeps capitals and marks."""
    return "#" + re.sub(r"[^\w\- ]", "", anchor.lower()) if anchor else ""


def linked(text: str, place: Place) -> str:
    """Prose whose links hold on the site: pages stay, files of the repository are named there."""
    here = place.notebook.parent

    def one(match: re.Match[str]) -> str:
        target = match[2]
        if re.match(r"[a-z]+:", target):
            return match[0]
        if target.startswith("#"):
            return f"{match[1]}{anchored(target[1:])}{match[3]}"
        path, _, anchor = target.partition("#")
        file = (here / path).resolve()
        if file.suffix == ".ipynb" and file.is_relative_to(ROOT / "nbs"):
            name = Place(file, place.pages).name
            return f"{match[1]}{place.root}{name}.ipynb{anchored(anchor)}{match[3]}"
        if file.suffix in (".png", ".jpg", ".svg", ".gif", ".webp") and file.exists():
            return f"{match[1]}/{file.relative_to(ROOT).as_posix()}{match[3]}"
        inside = file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else path
        kind = "tree" if file.is_dir() else "blob"
        return f"{match[1]}{REPOSITORY}/{kind}/{BRANCH}/{inside}{match[3]}"

    pieces = re.split(r"(```.*?```)", text, flags=re.S)
    pieces[::2] = [LINK.sub(one, piece) for piece in pieces[::2]]
    return "".join(pieces)


def with_tools(text: str, place: Place) -> str:
    """The first cell with the ways to run the page, after title and summary."""
    title, _, rest = text.partition("\n")
    summary, _, more = rest.strip("\n").partition("\n\n")
    return f"{title}\n\n{summary}\n\n{tools(place)}\n\n{more}".rstrip() + "\n"


def tools(place: Place) -> str:
    """Links that run, fetch or edit a notebook."""
    notebook = place.notebook.relative_to(ROOT).as_posix()
    owner = REPOSITORY.removeprefix("https://github.com/")
    colab = (
        f"https://colab.research.google.com/github/{owner}/blob/gh-pages/colab/{place.name}.ipynb"
    )
    binder = f"https://mybinder.org/v2/gh/{owner}/{BRANCH}?urlpath=lab/tree/{notebook}"
    edit = f"{REPOSITORY}/edit/{BRANCH}/{notebook}"
    fetch = f"{place.root}colab/{place.name}.ipynb"
    return (
        '```{raw} html\n<p class="tools"><a href="' + colab + '">Colab</a> '
        f'<a href="{binder}">Binder</a> <a href="{fetch}" download>Download</a> '
        f'<a href="{edit}">Edit</a> '
        f'<span>or here: <code>make lab</code>, then <code>{notebook}</code></span></p>\n```'
    )


def for_colab(notebook: Path) -> str:
    """A notebook with a first cell that installs the library."""
    book = json.loads(notebook.read_text(encoding="utf-8"))
    folder = notebook.parent.relative_to(ROOT).as_posix()
    text = INSTALL.format(repository=REPOSITORY, branch=BRANCH, folder=folder).rstrip()
    first = {
        "cell_type": "code",
        "id": "install",
        "metadata": {},
        "source": text.splitlines(True),
        "outputs": [],
        "execution_count": None,
    }
    cells = [c for c in book["cells"] if not joined(c["source"]).startswith(FOOTER)]
    for cell in cells:
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    book["cells"] = [*cells[:1], first, *cells[1:]]
    book["metadata"]["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"
