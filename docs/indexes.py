"""Index pages: equations, errata and deviations, figures and tables, evidence, glossary."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

import equations
from notebook_pages import Place, plain
from site_map import PAPERS, ROOT

from svr_nb.experiments import claims

DOCS = ROOT / "docs"
BOX = re.compile(r"What the paper says", re.I)
NAMED = re.compile(r"[Ee]rrat(?:um|a)\W*((?:[LUATS]\d+(?:, | and )?)+)")


def load(name: str) -> dict:
    """One of the tables beside this file."""
    return json.loads((DOCS / f"{name}.json").read_text(encoding="utf-8"))


def slug(title: str) -> str:
    """The anchor of a heading, as the pages have it."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
    text = re.sub(r"\$[^$]*\$", "", text)  # mathematics does not count
    text = re.sub(r"[`*]", "", text)
    return re.sub(r"[^\w\u4e00-\u9fff\- ]", "", text.strip().lower().replace(" ", "-"))


def to_section(notebook: str, section: str, label: str = "") -> str:
    """A link to a section of a notebook's page."""
    name = Place(ROOT / "nbs" / notebook, ROOT).name
    said = (label or plain(section)).replace("|", "\\|")
    return f"[{said}]({name}.ipynb#{slug(section)})" if section else f"[{said}]({name}.ipynb)"


def to_function(name: str) -> str:
    """A link to a function's place on the API pages."""
    return f"{{py:obj}}`{name.removeprefix('svr_nb.')} <{name}>`"


def equation_page() -> str:
    """The equation index."""
    formulas = load("formulas")
    found = equations.index()
    lines = [
        "# Equation index",
        "",
        f"> Every numbered equation of the five papers, {len(found)} in all: what computes it, "
        "where it is taught, and what is wrong with it.",
        "",
        "Made from the docstrings and the headings of the notebooks by `docs/equations.py`; a test "
        "checks that no equation is missing, that every function exists and that every section is "
        "there. The same as a file: <a href='equations.json'>equations.json</a>.",
        "",
    ]
    for paper, title in PAPERS.items():
        lines += [f"## {paper.upper()}", "", f"*{title}*", ""]
        lines += ["::::{list-table}", ":class: equations", ":widths: 6 94", ""]
        for e in found:
            if e.paper == paper:
                lines += equation_row(e, formulas[paper][str(e.number)])
        lines += ["::::", ""]
    return "\n".join(lines)


def equation_row(e: equations.Equation, formula: str) -> list[str]:
    """One row of the index."""
    errata = " · ".join(f"[erratum {key}](errata.md#{key.lower()})" for key in e.errata)
    said = [", ".join(map(to_function, e.functions[:3])), to_section(e.notebook, e.section)]
    said += [text for text in (errata, e.note) if text]
    return [
        f"* - ({e.paper}-eq-{e.number})=",
        f"    {e.number}",
        "  - $$",
        f"    {formula}",
        "    $$",
        "",
        f"    {' · '.join(said)}",
    ]


def equation_file() -> str:
    """The index for programs."""
    formulas = load("formulas")
    rows = [
        dataclasses.asdict(e) | {"formula": formulas[e.paper][str(e.number)]}
        for e in equations.index()
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def boxes() -> tuple[dict[str, list[tuple[str, str]]], list[tuple[str, str, str]]]:
    """Where each erratum is named, and the boxes that name none: (notebook, section, text)."""
    named: dict[str, list[tuple[str, str]]] = defaultdict(list)
    others = []
    for path in sorted(set(equations.notebooks().values())):
        notebook = path.relative_to(ROOT / "nbs").as_posix()
        for section, text in equations.sections(path, with_code=False):
            prose = f"{section}\n{text}"
            keys = {k for m in NAMED.finditer(prose) for k in re.findall(r"[LUATS]\d+", m[1])}
            heading = {k for m in NAMED.finditer(section) for k in re.findall(r"[LUATS]\d+", m[1])}
            for key in keys:
                spot = (notebook, section)
                if key in heading:
                    named[key].insert(0, spot)
                elif BOX.search(text) or not named[key]:
                    named[key].append(spot)
            if not heading:
                others += [
                    (notebook, section, said)
                    for said in text.split("\n\n")
                    if BOX.search(said) and not NAMED.search(said)
                ]
    return named, others


def errata_page() -> str:
    """Errata of the papers, and the other places where this book differs."""
    named, others = boxes()
    table = load("errata")
    lines = [
        "# Errata and deviations",
        "",
        f"> {len(table)} places where a paper's formula, number or sentence cannot be meant as it "
        f"stands, and {len(others)} more where this book differs from a paper or its code.",
        "",
        "Each has a box in a notebook: what the paper says, what we do, why. Many are shown by a "
        "cell that runs the formula as printed.",
        "",
    ]
    for paper, title in PAPERS.items():
        lines += [f"## {paper.upper()}", "", f"*{title}*", ""]
        for key, row in table.items():
            if row["paper"] == paper:
                at = list(dict.fromkeys(named.get(key, [])))[:3]
                where = "; ".join(to_section(n, s) for n, s in at)
                lines += [
                    f"({key.lower()})=",
                    f"**{key}**, {row['where']}: {row['line']}. → {where}",
                    "",
                ]
    lines += ["## Deviations without a number", ""]
    for notebook, section, text in others:
        said = re.sub(r"^>\s*", "", " ".join(text.split()))
        said = re.sub(r"\$\$.*?\$\$", "…", said)
        said = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", said)
        lines.append(f"- {to_section(notebook, section)}: {shortened(said)}")
    return "\n".join(lines) + "\n"


def shortened(text: str, most: int = 330) -> str:
    """The beginning of a text, up to the end of a sentence, with whole formulas and marks."""
    text = text.replace(" > ", " ")
    if len(text) <= most:
        return text
    end = max(text.rfind(". ", 0, most), text.rfind("; ", 0, most))
    piece = text[: end + 1] if end > 80 else text[:most].rsplit(" ", 1)[0]
    for mark in ("$", "`", "**"):
        if piece.count(mark) % 2:
            piece = piece[: piece.rfind(mark)]
    return piece.rstrip() + " …"


def figure_page() -> str:
    """Every figure and table of the papers, and ours."""
    table = load("figures")
    homes = equations.notebooks()
    count = sum(len(rows) for rows in table.values())
    ours = sum(bool(row.get("ours")) for rows in table.values() for row in rows)
    lines = [
        "# Figures and tables of the papers",
        "",
        f"> {count} figures and tables; {ours} have a counterpart in this book, the others need "
        "data or networks that do not come with it.",
        "",
        "A counterpart shows the same idea on this book's own samples. It does not repeat the "
        "paper's numbers.",
        "",
    ]
    for paper, title in PAPERS.items():
        lines += [f"## {paper.upper()}", "", f"*{title}*", ""]
        lines += ["| | shows | ours |", "|---|---|---|"]
        for row in table[paper]:
            there = []
            for name in row.get("ours", []):
                key, _, section = name.partition("#")
                path = homes[f"svr_nb.{key}"].relative_to(ROOT / "nbs").as_posix()
                there.append(to_section(path, section, label=section or key))
            words = "; ".join([*there, row.get("needs", "")]).strip("; ")
            what = row["what"].replace(" ", "\u00a0")
            lines.append(f"| {what} | {row['shows']} | {words} |")
        lines.append("")
    return "\n".join(lines)


EVIDENCE = {
    "ssl3d": ("experiments.ssl3d", "evidence-ssl3d"),
    "ssl3d_room": ("experiments.ssl3d_pupils", "evidence-ssl3d-room"),
    "mirrored_readings": ("experiments.mirrored_readings", "evidence-mirrored-readings"),
    "umr": ("experiments.umr", "evidence-umr"),
    "umr_rounds": ("experiments.umr", "evidence-umr-rounds"),
    "umr_cars": ("experiments.umr", "evidence-umr-cars"),
    "agt": ("experiments.agt", "evidence-agt"),
    "agt_flow": ("experiments.agt", "evidence-agt-flow"),
    "agt_queue": ("experiments.agt", "evidence-agt-queue"),
    "agt_proxy": ("experiments.warp_recovery", "evidence-agt PHOTOS=folder"),
    "plane_shapes": ("experiments.plane_shapes", "evidence-plane"),
    "tars_sdf": ("experiments.direct_sdf", "evidence-tars-sdf"),
    "tars_silhouettes": ("experiments.tars", "evidence-tars"),
    "tars_tiny": ("experiments.tars", "evidence-tars-tiny"),
    "tars_pictures": ("experiments.tars", "evidence-tars-pictures"),
    "tars_walks": ("experiments.tars", "evidence-tars-walks"),
    "lem": ("experiments.lem", "evidence-lem"),
    "lem_attention": ("experiments.lem", "evidence-lem-attention"),
    "lem_small": ("experiments.lem", "evidence-lem-small"),
    "lem_alignment": ("experiments.lem", "evidence-lem-alignment"),
    "lem_labels": ("experiments.lem_labels", "evidence-lem-labels"),
}
MORE = {
    "tars_tiny": ": level 0, a small training",
    "tars_pictures": ": how many pictures",
    "tars_walks": ": chord and walk",
    "ssl3d_room": ": elbow room from the first step",
    "umr_cars": ": cars of six parts",
    "umr_rounds": ": a third round, and a finer mesh",
    "agt_queue": ": what mends the Frechet loss",
    "agt_flow": ": a map that sees the flow, and a larger crowd",
    "lem_attention": ": where attention might pay",
    "lem_small": ": small objects",
    "lem_alignment": ": crowds of codes",
}
ELSEWHERE = {"claims", "speed"}  # rows that are no claim of a paper; experiments.speed shows them


def evidence_page() -> str:
    """Every stored row of measurements, by arm."""
    homes = equations.notebooks()
    lines = [
        "# Evidence",
        "",
        "> What was measured: mean ± standard error over the seeds, from the rows that are stored "
        "in the repository.",
        "",
        "Each table follows from `data_samples/evidence/*.json`; the notebook beside it says how "
        "it was measured, what to compare with, and what did not come out. "
        "The command runs it again.",
        "",
        *claimed(),
    ]
    for name, (key, command) in EVIDENCE.items():
        place = ROOT / "data_samples" / "evidence" / f"{name}.json"
        if not place.exists():
            continue
        path = homes[f"svr_nb.{key}"]
        title = equations.sections(path)[1][0]
        there = to_section(path.relative_to(ROOT / "nbs").as_posix(), title, label=key)
        lines += [f"## {plain(title)}{MORE.get(name, '')}", "", f"{there} · `make {command}`", ""]
        lines += evidence_table(json.loads(place.read_text(encoding="utf-8")))
    return "\n".join(lines)


def claimed() -> list[str]:
    """Claims and verdicts, one part of the page with a table for each system."""
    text = claims.page(link=lambda path: to_section(path, "", label=Path(path).stem[4:]))
    title, *lines = text.splitlines()
    return ["#" + title, *("#" + x if x.startswith("## ") else x for x in lines), ""]


def evidence_table(rows: list[dict]) -> list[str]:
    """Rows as tables: one line per arm, and one table per set of columns."""
    kind = "map" if any("map" in row for row in rows) else "arm"
    apart = [k for k in ("form", "start", "pictures") if len({row.get(k) for row in rows}) > 1]
    groups: dict[tuple, list[dict]] = defaultdict(list)
    for row in rows:
        words = [str(row[k]) for k in ("collection", kind, "arm", *apart) if k in row]
        groups[tuple(dict.fromkeys(words))].append(row)
    shapes: dict[tuple[str, ...], list[tuple[tuple, list[dict]]]] = defaultdict(list)
    for words, mine in groups.items():
        columns = tuple(numbers_of(mine))[:9]
        shapes[columns].append((words, mine))
    lines = []
    for columns, members in shapes.items():
        if not columns:
            continue
        lines += ["| | seeds | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
        for words, mine in members:
            cells = [
                told([r[c] for r in mine if isinstance(r.get(c), (int, float))]) for c in columns
            ]
            seeds = len({row.get("seed") for row in mine})
            lines.append(f"| {', '.join(words)} | {seeds} | " + " | ".join(cells) + " |")
        lines.append("")
    return lines


def numbers_of(rows: list[dict]) -> list[str]:
    """Names of the scores in rows."""
    left = {"seed", "seconds", "steps", "data seed", "test seed", "pictures", "unseen", "cells"}
    names = dict.fromkeys(name for row in rows for name in row)
    is_number = lambda v: isinstance(v, (int, float)) and not isinstance(v, bool)
    return [n for n in names if n not in left and any(is_number(row.get(n)) for row in rows)]


def told(values: list[float]) -> str:
    """Mean ± standard error."""
    if not values:
        return ""
    digits = 3 if max(map(abs, values)) < 10 else 1
    error = (
        f"\u00a0±\u00a0{stdev(values) / len(values) ** 0.5:.{digits}f}" if len(values) > 1 else ""
    )
    return f"{mean(values):.{digits}f}{error}"


def glossary_page() -> str:
    """Words of the book."""
    homes = equations.notebooks()
    lines = ["# Glossary", "", "> The words that this book uses, and where each is taught.", ""]
    lines += ["::::{glossary}"]
    for word, (meaning, key) in sorted(load("glossary").items(), key=lambda item: item[0].lower()):
        path = homes[f"svr_nb.{key}"].relative_to(ROOT / "nbs").as_posix()
        lines += [word, f"  {meaning} → {to_section(path, '', label=key)}", ""]
    return "\n".join([*lines, "::::", ""])


def pages() -> dict[str, str]:
    """All index pages by name."""
    return {
        "equations": equation_page(),
        "errata": errata_page(),
        "figures": figure_page(),
        "evidence": evidence_page(),
        "glossary": glossary_page(),
    }


def write(folder: Path) -> None:
    """Writes the index pages into a folder."""
    for name, text in pages().items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
