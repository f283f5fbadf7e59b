"""The papers' tables: whole, matched with our metrics, and with our row under theirs."""

from __future__ import annotations

import pytest
import torch

import svr_nb as svr
from svr_nb.app.command_line import main
from svr_nb.app.paper_tables import (
    LEM_TABLES,
    PAPER_TABLES,
    TARS_TABLES,
    UMR_TABLES,
    beside,
    classes_of,
    per_class,
    protocol,
    tables_for,
)
from svr_nb.data.paper_collections import write_miniature
from svr_nb.training.system import SYSTEMS


@pytest.mark.parametrize("table", PAPER_TABLES, ids=lambda t: t.title)
def test_tables_are_whole(table):
    assert table.system in SYSTEMS and table.protocol and table.kinds
    assert all(len(row) == len(table.columns) for row in table.rows.values())
    assert len({column.name for column in table.columns}) == len(table.columns)


def test_figures_of_the_papers():
    assert LEM_TABLES[0].rows["LEM"] == (0.292, 0.108)
    assert UMR_TABLES[0].rows["UMR"] == (0.734, 51.2, 58.2)
    chairs = next(t for t in TARS_TABLES if t.category == "chair")
    assert chairs.rows["TARS"][:3] == (0.353, 0.312, 0.332)


def test_which_tables_apply():
    assert [t.title for t in tables_for("LEM", "pix3d")] == ["LEM, Table 1: Pix3D chairs"]
    assert len(tables_for("tars", "sdfsrn")) == 3
    assert [t.category for t in tables_for("tars", "sdfsrn", "car")] == ["car"]
    assert tables_for("umr", "samples") == []


def test_pix3d_is_measured_boxed():
    lem = svr.load("lem", "object")
    assert protocol(lem, "pix3d") == {"boxed": True} and protocol(lem, "pascal3d") == {}
    assert protocol(svr.load("ssl3d", "car"), "pix3d") == {}


def test_boxed_measures_finer_grids():
    """The truth of Pix3D has 128 cells along a side, ours 16: the protocol brings both together."""
    from svr_nb.lem.config import photographs

    few, lem = photographs("test", 3, seed=1), svr.load("lem", "object")
    fine = few.fields["voxels"].repeat_interleave(8, 1).repeat_interleave(8, 2)
    fields = {**few.fields, "voxels": fine.repeat_interleave(8, 3)}
    data = svr.data.Collection(fields, few.category, labels=few.labels)
    coarse = lem.evaluate(few, boxed=True)["IoU at best threshold"]
    assert torch.allclose(lem.evaluate(data, boxed=True)["IoU at best threshold"], coarse, atol=0.1)


def test_classes_and_their_means():
    data = svr.data.Collection(
        {"category": torch.tensor([0, 2, 2])}, labels={"category": ("car", "chair", "aeroplane")}
    )
    assert set(classes_of(data)) == {"car", "aeroplane"}
    values = {"Chamfer": torch.tensor([0.1, 0.2, 0.4]), "best threshold": torch.tensor([0.3])}
    table = per_class(values, data)
    assert [row["metric"] for row in table.rows] == ["Chamfer"]
    assert table["car"] == [pytest.approx(0.1)] and table["aeroplane"] == [pytest.approx(0.3)]
    row = beside(LEM_TABLES[2], values, data).rows[-1]
    assert row["CD car"] == pytest.approx(0.1) and row["CD chair"] is None
    assert row["CD"] == pytest.approx(0.7 / 3) and row["IoU"] is None


def test_shares_become_per_cent_and_nothing_stays_nothing():
    data = svr.data.Collection({"x": torch.zeros(4)}, "bird")
    values = {
        "PCK by flow": torch.tensor(0.5),
        "mask IoU": torch.tensor([0.5, torch.nan, 0.7, 0.6]),
    }
    row = beside(UMR_TABLES[0], values, data).rows[-1]
    assert (
        row["KT flow"] == 50 and row["mask IoU"] == pytest.approx(0.6) and row["KT camera"] is None
    )
    assert row["method"] == "ours (4 items)" and per_class(values, data) is None


def test_evaluate_prints_the_papers_table(tmp_path, capsys):
    birds = write_miniature("cub", tmp_path / "cub", counts=(2, 2, 4))
    from svr_nb.training.system import _shipped_folder

    words = ["evaluate", str(_shipped_folder() / "umr-bird"), "--data", "cub", "--root", str(birds)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "UMR, Tables 1 and 2: CUB" in said and "ours (3 items)" in said
    assert "CMR" in said and "58.2" in said
