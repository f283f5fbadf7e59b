"""Keeps the notebooks and what is made from them in step.

check    the library equals a fresh export, the notebooks are clean, README.md is up to date
clean    removes what does not belong into version control (widget state, counters, error output)
outputs  runs notebooks with a kernel and stores their pictures (all, or the ones named)
readme   writes README.md from nbs/index.ipynb
"""

from __future__ import annotations

import filecmp
import importlib.util
import json
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from copy import deepcopy
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(
    p for p in (ROOT / "nbs").rglob("*.ipynb") if not re.search(r"/[._]", str(p.relative_to(ROOT)))
)
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "python3", "language": "python", "name": "python3"}
NEEDS = "needs:"  # a cell tagged needs:NAME keeps its outputs where the package NAME is missing
DIRECTIVE = re.compile(r"^\s*#\s*\|\s*(\w+)", re.M)


def cleaned_output(output: dict) -> dict | None:
    """One output without counters and widget references; None if nothing is left worth keeping."""
    output = dict(output)
    if output["output_type"] == "error" or (
        output["output_type"] == "stream" and output["name"] == "stderr"
    ):
        return None
    if "data" in output:
        output["data"] = {
            kind: value for kind, value in output["data"].items() if kind != WIDGET_VIEW
        }
        only_text = set(output["data"]) <= {"text/plain"}
        if only_text and re.match(
            r"((HBox|VBox|Output|FigureWidget|Plot|interactive|Label)\(|<k3d)",
            "".join(output["data"].get("text/plain", "")),
        ):
            return None
    if "execution_count" in output:
        output["execution_count"] = None
    return output


def cleaned(notebook: dict) -> dict:
    """The notebook as it is committed."""
    for cell in notebook["cells"]:
        cell["metadata"] = {k: v for k, v in cell["metadata"].items() if k in ("tags", "nbgrader")}
        if cell["cell_type"] == "code":
            cell["execution_count"] = None
            cell["outputs"] = [o for o in map(cleaned_output, cell["outputs"]) if o is not None]
    notebook["metadata"] = {"kernelspec": KERNEL}
    return notebook


def dump(notebook: dict) -> str:
    """The text of a notebook, in one fixed form."""
    return json.dumps(notebook, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def write(path: Path, text: str) -> None:
    """Replaces a file in one step."""
    spare = path.with_name(path.name + ".tmp~")
    spare.write_text(text, encoding="utf-8")
    spare.replace(path)


def clean(paths: list[Path]) -> None:
    for path in paths:
        before = path.read_text(encoding="utf-8")
        after = dump(cleaned(json.loads(before)))
        if after != before:
            write(path, after)
            print(f"cleaned {path.relative_to(ROOT)}")


def missing(cell: dict) -> list[str]:
    """The packages that a cell is tagged to need and that are not installed."""
    tags = cell["metadata"].get("tags", [])
    needed = [tag.removeprefix(NEEDS) for tag in tags if tag.startswith(NEEDS)]
    return [name for name in needed if importlib.util.find_spec(name) is None]


def keep_what_needs_more(path: Path, before: dict, after: dict) -> None:
    """Puts stored outputs back into cells that lack a package here, and says so."""
    for old, new in zip(before["cells"], after["cells"]):
        if lacks := missing(new):
            new["outputs"] = old["outputs"]
            print(f"kept in {path.name}, cell {new['id']}: no {', '.join(lacks)} here")


def outputs(paths: list[Path]) -> None:
    from nbclient import NotebookClient

    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        before = deepcopy(notebook)
        where = {"metadata": {"path": str(path.parent)}}
        NotebookClient(
            notebook, timeout=600, kernel_name="python3", store_widget_state=False, resources=where
        ).execute()
        keep_what_needs_more(path, before, notebook)
        write(path, dump(cleaned(json.loads(nbformat.writes(notebook)))))
        print(f"ran {path.relative_to(ROOT)}")


def readme_text() -> str:
    """README.md as it follows from the tour: no hidden cells, no footer, links from the root."""
    from nbconvert import MarkdownExporter

    notebook = nbformat.read(ROOT / "nbs" / "index.ipynb", as_version=4)
    notebook.cells = [cell for cell in notebook.cells if not left_out(cell)]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            lines = cell.source.split("\n")
            cell.source = "\n".join(line for line in lines if not DIRECTIVE.match(line))
            cell.outputs = []
    notebook.metadata["language_info"] = {"name": "python"}
    text, _ = MarkdownExporter().from_notebook_node(notebook)
    text = re.sub(r"(\]\()([^)\s]+)", from_root, text)
    text = re.sub(r'(src=")([^"]+)', from_root, text)
    made = "<!-- made from nbs/index.ipynb by `make readme` -->\n\n"
    return made + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def left_out(cell: dict) -> bool:
    """Whether a cell of the tour does not belong into README.md."""
    if cell["cell_type"] == "code":
        return bool({"hide", "default_exp"} & set(DIRECTIVE.findall(cell["source"])))
    return cell["source"].startswith("<!-- footer -->")


def from_root(link: re.Match[str]) -> str:
    """A relative link of nbs/, as seen from the folder above it."""
    if re.match(r"[a-z]+:|#", link[2]):
        return link[0]
    return link[1] + posixpath.normpath(posixpath.join("nbs", link[2]))


def differences(fresh: Path, committed: Path) -> list[str]:
    """Python files that differ between two trees, as readable lines."""

    def names(root: Path) -> set[str]:
        return {str(p.relative_to(root)) for p in root.rglob("*.py")}

    lines = [f"only in the fresh export: {n}" for n in sorted(names(fresh) - names(committed))]
    lines += [f"not made by any notebook: {n}" for n in sorted(names(committed) - names(fresh))]
    both = sorted(names(fresh) & names(committed))
    return lines + [
        f"differs: {n}" for n in both if not filecmp.cmp(fresh / n, committed / n, shallow=False)
    ]


def check_export() -> list[str]:
    """What differs between svr_nb/ and an export into an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        temp = Path(folder)
        shutil.copy(ROOT / "settings.ini", temp)
        shutil.copy(ROOT / "setup.py", temp)
        shutil.copytree(ROOT / "nbs", temp / "nbs")
        (temp / "svr_nb").mkdir()
        for name in ("__init__.py", "__main__.py"):  # written by hand
            shutil.copy(ROOT / "svr_nb" / name, temp / "svr_nb")
        subprocess.run([str(Path(sys.executable).with_name("nbdev_export"))], cwd=temp, check=True)
        return differences(temp / "svr_nb", ROOT / "svr_nb")


def check() -> int:
    problems = check_export()
    problems += [
        f"not clean (run `make export`): {p.relative_to(ROOT)}"
        for p in NOTEBOOKS
        if dump(cleaned(json.loads(p.read_text(encoding="utf-8")))) != p.read_text(encoding="utf-8")
    ]
    if (ROOT / "README.md").read_text(encoding="utf-8") != readme_text():
        problems.append("README.md does not follow from nbs/index.ipynb (run `make readme`)")
    print(
        "\n".join(problems) or f"{len(NOTEBOOKS)} notebooks: export, cleanliness and README agree"
    )
    return len(problems)


def main(arguments: list[str]) -> int:
    command, *names = arguments or ["check"]
    paths = [Path(n).resolve() for n in names] or NOTEBOOKS
    if command == "check":
        return min(1, check())
    if command == "readme":
        write(ROOT / "README.md", readme_text())
        return 0
    {"clean": clean, "outputs": outputs}[command](paths)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
