"""Tables and summaries."""

from __future__ import annotations

import json
import math

import pytest
import torch

from svr_nb.conventions import InputError
from svr_nb.data.collection import Collection
from svr_nb.scores.tables import Table, evaluate, summarise


def items(count: int) -> Collection:
    """A collection of so many empty pictures."""
    return Collection({"image": torch.zeros(count, 3, 4, 4)})


class Scores:
    """A system whose values are known."""

    def evaluate(self, data):
        return {"error": torch.arange(len(data)).float(), "accuracy": 0.5}

    def reference_levels(self, data):
        return {"floor": torch.tensor([1.0, 3.0])}


def test_summary_numbers():
    line = summarise([1, 2, 3, 4, math.nan])
    assert (
        line["mean"] == 2.5
        and line["items"] == 4
        and line["± s.e."] == pytest.approx(math.sqrt(5 / 3) / 2)
    )


def test_one_value_has_no_error():
    assert math.isnan(summarise(3.0)["± s.e."]) and summarise(3.0)["mean"] == 3


def test_evaluate_adds_reference_levels():
    table = evaluate(Scores(), items(5))
    assert [m.strip() for m in table["metric"]] == ["error", "accuracy", "level: floor"] and table[
        "mean"
    ] == [2.0, 0.5, 2.0]
    assert len(evaluate(Scores(), items(5), references=False).rows) == 2


def test_empty_and_bad_limit_are_refused():
    for arguments in (([],), (range(3),)):
        with pytest.raises(InputError):
            evaluate(Scores(), *arguments, limit=None if len(arguments[0]) == 0 else 0)


def test_limit_takes_from_the_start():
    class Data(list):
        """A collection with a subset."""

        def subset(self, index):
            return Data(self[int(i)] for i in index)

    assert evaluate(Scores(), Data(range(5)), limit=2)["items"][0] == 2
    assert evaluate(Scores(), Data(range(5)), limit=99)["items"][0] == 5


def test_table_shows_itself_in_three_ways():
    table = Table([{"a": "<b>", "n": 1234567.0}, {"n": None}], title="t", note="why")
    assert "1234567" in str(table) and "–" in str(table) and str(table).endswith("why")
    assert "&lt;b&gt;" in table._repr_html_() and json.loads(table.to_json())["title"] == "t"
    with pytest.raises(InputError, match="column"):
        table["zzz"]
    assert str(Table()) == ""


def test_the_table_says_how_many_items_have_no_value():
    class Partly(Scores):
        def evaluate(self, data):
            some = torch.arange(len(data)).float()
            return {"a": torch.where(some > 2, some, math.nan), "b": some, "c": math.nan}

    table = evaluate(Partly(), items(9), references=False)
    assert table["items"] == [6, 9, 0] and table["mean"][0] == 5.5
    assert "a, 3 of 9" in table.note and "b" not in table.note.split(": ")[1]
    assert evaluate(Scores(), items(4)).note == ""
