"""API pages: every public name with its signature, its arguments, what it raises and its source.

Read from the library's text, so nothing is imported. The docstrings of this library say one
argument a line, `name: shape, unit, range`; that is what becomes the list of arguments.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

from site_map import BRANCH, REPOSITORY, ROOT

ITEM = re.compile(r"^([A-Za-z_*][\w*]*(?:, [A-Za-z_*][\w*]*)*): +(.*)$")
WORDS = re.compile(r"(?=(?:\b(?:Returns|Raises) |\bSource: ))")


@dataclass
class Said:
    """What a docstring says: a text, one line per argument, and what comes out of it."""

    text: list[str] = field(default_factory=list)
    arguments: list[tuple[str, str]] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)


def read(docstring: str, names: set[str]) -> Said:
    """A docstring in its pieces.

    docstring: cleaned of its indentation.
    names: of the arguments or fields.
    """
    said = Said()
    first, _, rest = docstring.partition("\n\n")
    said.text.append(" ".join(first.split()))
    target: str = "text"
    for line in rest.split("\n"):
        bare = line.strip()
        match = ITEM.match(line)
        if match and {n.lstrip("*") for n in match[1].split(", ")} & (names or {match[1]}):
            said.arguments.append((match[1], match[2]))
            target = "argument"
        elif re.match(r"(Returns|Raises|Source)\b", bare):
            said.ends.append(bare)
            target = "end"
        elif not bare:
            target = "text"
            said.text.append("")
        elif target == "argument" and line[:1] == " ":
            name, text = said.arguments[-1]
            said.arguments[-1] = (name, f"{text} {bare}")
        elif target == "end":
            said.ends[-1] += f" {bare}"
        else:
            said.text[-1] = f"{said.text[-1]} {bare}".strip()
            target = "text"
    said.arguments = [one for given in said.arguments for one in apart(*given, names)]
    said.ends = [end.strip() for ends in said.ends for end in WORDS.split(ends) if end.strip()]
    return said


def apart(name: str, text: str, names: set[str]) -> list[tuple[str, str]]:
    """The arguments of one line: "(b, n, d). key: (b, s, d)." tells of two."""
    others = "|".join(map(re.escape, sorted(names)))
    pieces = re.split(rf"(?<=[.;]) +({others}): ", text) if names else [text]
    return [(name, pieces[0]), *zip(pieces[1::2], pieces[2::2])]


def escaped(text: str) -> str:
    """Prose of a docstring as Markdown: code in backticks stays, everything else is text."""
    pieces = re.split(r"(`[^`]*`)", text)
    pieces[::2] = [re.sub(r"([*_<>$\[\]{}|\\])", r"\\\1", piece) for piece in pieces[::2]]
    return "".join(pieces)


def described(docstring: str, names: set[str]) -> list[str]:
    """The lines of a page for one docstring."""
    said = read(docstring, names)
    lines = []
    for paragraph in said.text:
        lines += [escaped(paragraph), ""] if paragraph else []
    if said.arguments:
        # A space would make the first of two names the type of the second.
        lines += [f":param {n.replace(' ', '')}: {escaped(text)}" for n, text in said.arguments]
    for end in said.ends:
        word, _, text = end.partition(" ")
        text = text.rstrip(". ") + "."
        if word == "Returns":
            lines.append(f":returns: {escaped(text)}")
        elif word == "Raises":
            lines.append(f":raises: {escaped(text)}")
        else:
            lines += ["", f"*Source*: {escaped(text)}"]
    return [*lines, ""]


def signature(node: ast.FunctionDef, method: bool) -> str:
    """Arguments and result as they are written."""
    given = ast.parse(f"def f({ast.unparse(node.args)}): pass").body[0]
    assert isinstance(given, ast.FunctionDef)
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
    if method and given.args.args and not static:
        given.args.args = given.args.args[1:]
    back = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({ast.unparse(given.args)}){back}".replace("\n", " ")


def argument_names(node: ast.FunctionDef) -> set[str]:
    """Names of the arguments of a function."""
    a = node.args
    every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    return {arg.arg for arg in every}


def fields_of(node: ast.ClassDef) -> list[str]:
    """Fields of a dataclass or a named tuple, as they are written."""
    plain = [n for n in node.body if isinstance(n, ast.AnnAssign)]
    return [ast.unparse(n).replace("\n", " ") for n in plain]


def entry(node: ast.stmt, module: str) -> list[str]:
    """The lines of a page for one function or class."""
    docstring = ast.get_docstring(node) or ""  # type: ignore[arg-type]
    if isinstance(node, ast.FunctionDef):
        head = f"{module}.{node.name}{signature(node, method=False)}"
        body = described(docstring, argument_names(node))
        return [f"::::{{py:function}} {head}", "", *body, "::::", ""]
    assert isinstance(node, ast.ClassDef)
    methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
    start = next((m for m in methods if m.name == "__init__"), None)
    fields = fields_of(node)
    made = signature(start, method=True).split(" -> ")[0] if start else f"({', '.join(fields)})"
    names = {f.split(":")[0] for f in fields} | (argument_names(start) if start else set())
    lines = [f"::::{{py:class}} {module}.{node.name}{made}", "", *described(docstring, names)]
    if start and ast.get_docstring(start):
        lines += described(ast.get_docstring(start) or "", argument_names(start))
    for method in methods:
        if method.name[0] != "_":
            said = described(ast.get_docstring(method) or "", argument_names(method))
            lines += [f":::{{py:method}} {method.name}{signature(method, method=True)}", "", *said]
            lines += [":::", ""]
    return [*lines, "::::", ""]


def module_page(path: Path, notebook: str) -> str:
    """The page of one module.

    path: of the module.
    notebook: name of the notebook's page, without an ending.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = path.relative_to(ROOT).with_suffix("")
    module = ".".join(inside.parts)
    up = "../" * (len(inside.parts) - 1)
    source = f"{REPOSITORY}/blob/{BRANCH}/{path.relative_to(ROOT).as_posix()}"
    lines = [
        f"# `{module}`",
        "",
        f"> {escaped(ast.get_docstring(tree) or '')}",
        "",
        f"Taught and made in [the notebook]({up}{notebook}.ipynb) · [source]({source})",
        "",
    ]
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_":
            lines += entry(node, module)
    return "\n".join(lines)


def exported(path: Path) -> list[tuple[str, str]]:
    """What an opener of a part lists: names and the modules they come from."""
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.level:
            found += [(alias.asname or alias.name, node.module) for alias in node.names]
    return found


def part_page(part: str, modules: list[str]) -> str:
    """The page of one part: its public names, and its modules."""
    names = exported(ROOT / "svr_nb" / part / "__init__.py")
    names = [(name, module) for name, module in names if module in modules]
    listed = " · ".join(f"{{py:obj}}`{n} <svr_nb.{part}.{m}.{n}>`" for n, m in names)
    pages = "\n".join(f"{part}/{module}" for module in modules)
    public = f"Public names, `from svr_nb.{part} import …`: {listed}" if names else ""
    toctree = f"```{{toctree}}\n:maxdepth: 1\n:hidden:\n\n{pages}\n```"
    said = [f"- [`{module}`]({part}/{module}.md): {sentence(part, module)}" for module in modules]
    return f"# `svr_nb.{part}`\n\n{public}\n\n{chr(10).join(said)}\n\n{toctree}\n"


def sentence(part: str, module: str) -> str:
    """What a module is for."""
    text = (ROOT / "svr_nb" / part / f"{module}.py").read_text(encoding="utf-8")
    return escaped(ast.get_docstring(ast.parse(text)) or "")
