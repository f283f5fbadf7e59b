"""Mathematics without scripts: every formula becomes MathML when the page is built.

All browsers draw MathML since 2023. Nothing has to be loaded or run for it, a formula can be copied
and read aloud, and the whole book's formulas weigh less than one copy of a typesetting program. The
font beside the pages (STIX Two Math, cut down to what formulas use) gives them one look everywhere.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

MATHML = "http://www.w3.org/1998/Math/MathML"
ElementTree.register_namespace("", MATHML)
# What the converter reads wrongly, and what it reads.
PLAIN = (
    (r"\\(?:[lr]?Vert(?![a-zA-Z])|\|)", "‖"),
    (r"\\[lr]vert(?![a-zA-Z])", "|"),
    (r"\\arg\s*\\(max|min)(?![a-zA-Z])", r"\\operatorname{arg\1}"),
)
say = logging.getLogger(__name__)


def mathml(text: str, display: str, where: Any = None) -> str:
    """A formula as MathML; as plain text, with a warning, if it cannot be read."""
    tag = re.search(r"\\tag\{([^}]*)\}", text)
    bare = re.sub(r"\\tag\{[^}]*\}|\\label\{[^}]*\}", "", text).strip().rstrip("\\")
    if "&" in bare and "\\begin" not in bare:
        bare = f"\\begin{{align*}}{bare}\\end{{align*}}"
    bare = re.sub(r"(\\(?:begin|end))\{(?:aligned|split|gathered)\}", r"\1{align*}", bare)
    for pattern, better in PLAIN:
        bare = re.sub(pattern, better, bare)
    try:
        made = with_bars(convert(bare, display=display))
    except Exception as error:
        say.warning("cannot read the formula %r: %s", text, error, location=where)
        return f"<code>{nodes.unescape(text)}</code>"
    if "\\" in re.sub(r"<[^>]+>", "", made):
        say.warning("a command was not understood in %r", text, location=where)
    number = f'<span class="tag">({tag[1]})</span>' if tag else ""
    return made + number


def with_bars(made: str) -> str:
    """Lines over a whole expression; as an accent they would not grow with it."""
    root = ElementTree.fromstring(made)
    for node in root.iter(f"{{{MATHML}}}mover"):
        above = node[-1] if len(node) == 2 else None
        if above is not None and above.text in ("\u2015", "\u203e"):
            node.tag = f"{{{MATHML}}}mrow"
            node.remove(above)
            node.set("class", "bar")
    return ElementTree.tostring(root, encoding="unicode")


def inline(self: Any, node: nodes.math) -> None:
    """Writes a formula in a line."""
    self.body.append(mathml(node.astext(), "inline", node))
    raise nodes.SkipNode


def block(self: Any, node: nodes.math_block) -> None:
    """Writes a formula of its own."""
    self.body.append(f'<div class="math-block" tabindex="0">{mathml(node.astext(), "block", node)}')
    if node.get("number"):
        self.body.append(f'<span class="tag">({node["number"]})</span>')
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the renderer."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
