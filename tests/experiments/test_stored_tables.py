"""The rows that come with the repository print the tables that they printed when they were made."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from svr_nb.experiments.runner import main, read_rows, stored_rows, write_rows

GOLDEN = Path(__file__).parent / "golden"
EVIDENCE = Path(__file__).parents[2] / "data_samples" / "evidence"
TABLES = {
    "ssl3d_summary": ("ssl3d", "ssl3d", "summary"),
    "umr_summary": ("umr", "umr", "summary"),
    "agt_summary": ("agt", "agt", "summary"),
    "agt_recovery": ("agt_proxy", "warp_recovery", "recovery_table"),
    "lem_summary": ("lem", "lem", "summary"),
    "lem_pairs": ("lem", "lem", "pair_table"),
    "tars_silhouettes": ("tars_silhouettes", "tars", "silhouette_table"),
    "tars_direct": ("tars_sdf", "direct_sdf", "direct_table"),
    "plane_shapes": ("plane_shapes", "plane_shapes", "plane_table"),
}
# What a command must not do when the file holds every row of the call.
COMPLETE = {
    "ssl3d": ("ssl3d", ["--arms", "none", "cycle", "full"]),
    "umr": ("umr", []),
    "agt": ("agt", []),
    "lem": ("lem", []),
    "direct_sdf": ("tars_sdf", []),
    "plane_shapes": ("plane_shapes", []),
    "tars": ("tars_silhouettes", []),
    "warp_recovery": ("agt_proxy", ["--photos", "nowhere"]),
}


@pytest.mark.parametrize("name", TABLES)
def test_stored_rows_print_the_golden_table(name):
    rows, module, function = TABLES[name]
    made = getattr(importlib.import_module(f"svr_nb.experiments.{module}"), function)
    assert f"{made(stored_rows(rows))}\n" == (GOLDEN / f"{name}.txt").read_text()


@pytest.mark.parametrize("module", COMPLETE)
def test_a_command_whose_rows_are_all_there_trains_nothing(module, tmp_path, capsys):
    file, options = COMPLETE[module]
    experiment = importlib.import_module(f"svr_nb.experiments.{module}").EXPERIMENT
    rows = read_rows(EVIDENCE / f"{file}.json")
    write_rows(tmp_path / "rows.json", rows)
    assert main(experiment, [*options, "--out", str(tmp_path / "rows.json")]) == rows
    assert read_rows(tmp_path / "rows.json") == rows
    assert str(experiment.report(rows)[0]) in capsys.readouterr().out
