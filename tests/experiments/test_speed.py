"""The bench: rounds, verdicts, rows, growth."""

from __future__ import annotations

import json
import time

import pytest
import torch

from svr_nb.conventions import InputError
from svr_nb.experiments import speed
from svr_nb.experiments.runner import stored_rows
from svr_nb.experiments.speed import Work, _on, bench, bench_table, core_works, main
from svr_nb.experiments.speed import measured, step_work, take_turns, verdict


def test_ways_take_turns_and_the_first_round_is_not_counted():
    calls = []
    found = take_turns([lambda: calls.append("a"), lambda: calls.append("b")], most=3)
    assert calls == ["a", "b"] * 4 and len(found) == 2 and min(found) >= 0


@pytest.mark.parametrize(
    ("work", "seconds", "anchor", "said"),
    [
        (Work("w", int), 1.0, None, ""),
        (Work("w", int, target=2), 1.0, 2.0, "met"),
        (Work("w", int, target=2), 1.0, 1.9, "missed"),
        (Work("w", int, target=1, spare=0.5), 1.0, 0.6, "met"),
        (Work("w", int, most=0.5), 0.4, None, "met"),
        (Work("w", int, most=0.5, target=1), 0.6, 9.0, "missed"),
    ],
)
def test_verdicts(work, seconds, anchor, said):
    assert verdict(work, seconds, anchor) == said


def test_a_row_says_both_times_and_their_ratio():
    slow = lambda: sum(range(50_000))
    row = measured(Work("w", lambda: None, "sum", slow, 2), 0.05)
    assert row["verdict"] == "met"
    assert row["times as fast"] == pytest.approx(row["anchor ms"] / row["ms"])


def test_quick_rows_of_two_parts_and_the_threads_are_put_back(monkeypatch):
    monkeypatch.setattr(speed, "file_works", lambda folder, quick: [])
    threads, told = torch.get_num_threads(), []
    rows = bench(("comparing", "shapes"), quick=True, tell=told.append)
    assert torch.get_num_threads() == threads and len(told) == len(rows)
    assert {row["part"] for row in rows} == {"comparing", "shapes"}
    assert all(row["ms"] > 0 for row in rows) and "targets met" in str(bench_table(rows))


def test_a_step_learns():
    work = step_work("lem", count=8)
    work.theirs()
    work.ours()


def test_growth_and_the_command(tmp_path, capsys):
    assert main(["--quick", "--parts", "growth", "--out", str(tmp_path / "rows.json")]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert len({row["axis"] for row in rows}) == 4 and all(row["ms"] > 0 for row in rows)
    assert "Growth" in capsys.readouterr().out


def test_a_second_core_is_measured_by_the_clock_on_the_wall_and_given_back():
    before = torch.get_num_threads()
    works = core_works(("lem",), 2)
    assert [work.name for work in works] == ["step lem, two cores", "2 at once, lem, two cores"]
    assert {work.clock for work in works} == {time.perf_counter}
    used = []
    twice = _on(2, lambda: used.append(torch.get_num_threads()))
    twice()
    assert used == [2] and torch.get_num_threads() == before
    works[1].ours()
    assert torch.get_num_threads() == before


def test_an_unknown_part_is_refused():
    with pytest.raises(InputError, match="part: expected one of"):
        bench(("all",))


def test_the_stored_rows_hold_every_part():
    rows = stored_rows("speed")
    assert {row["part"] for row in rows if "work" in row} == set(speed.PARTS)
    assert len({row["axis"] for row in rows if "axis" in row}) == 4
