"""Verdicts follow the rule, switches are read off configurations, every claim can be run."""

from __future__ import annotations

import importlib
from dataclasses import replace

import pytest

from svr_nb.conventions import InputError
from svr_nb.experiments import claims as module
from svr_nb.experiments.claims import (
    SOURCES,
    VERDICTS,
    Claim,
    again,
    command_of,
    findings,
    main,
    measure_again,
    page,
    settle,
    stored_claims,
    switched,
    told_switch,
    work,
)
from svr_nb.experiments.runner import parser_of, write_rows

ONE = Claim("UMR", "a cycle helps", "Table 2", ".5 to .6", "umr", "no cycle", "full", "PCK by flow")


def rows(*gaps, score=ONE.score):
    """Rows of both arms with these differences."""
    arms = {"no cycle": [0.3 for _ in gaps], "full": [0.3 + gap for gap in gaps]}
    return [
        {"arm": arm, "seed": seed, score: value, "seconds": 30}
        for arm, values in arms.items()
        for seed, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("gaps", "change", "verdict"),
    [
        ((0.1, 0.12, 0.11), "", "holds"),
        ((0.1, 0.12, 0.11), "a thing of ours", "holds with a change"),
        ((0.1, -0.12, 0.11), "", "does not show"),
        ((0.1, 0.12), "", "does not show"),
        ((-0.1, -0.12, -0.11), "", "contradicted"),
        ((-0.1, -0.12, -0.11), "a thing of ours", "contradicted"),
        ((0.0, 0.0, 0.0), "", "does not show"),
        ((), "", "not run"),
    ],
)
def test_the_rule(gaps, change, verdict):
    found = settle(replace(ONE, change=change), rows(*gaps))
    assert found.verdict == verdict and found.verdict in VERDICTS
    assert found.minutes == pytest.approx(len(gaps))


def test_a_score_that_should_fall_is_turned():
    found = settle(replace(ONE, sign=-1), rows(-0.1, -0.12, -0.11))
    assert found.verdict == "holds" and min(found.each) > 0 and found.having < found.without


def test_only_seeds_with_both_arms_and_the_right_settings_count():
    some = rows(0.1, 0.2, 0.3)[:-1]
    assert settle(ONE, some).seeds == (0, 1)
    chairs = [{**row, "collection": "chairs"} for row in rows(0.1, 0.2)]
    cars = [{**row, "collection": "cars", "seed": row["seed"] + 5} for row in rows(0.1)]
    assert settle(replace(ONE, where={"collection": "cars"}), chairs + cars).seeds == (5,)


def test_every_stored_claim_names_arms_that_differ():
    for claim in stored_claims():
        fields = switched(claim)
        assert fields, claim.says
        assert len(fields) == 1 or claim.switch, f"{claim.says}: which one idea are {fields}?"
        assert told_switch(claim).endswith(f"{fields[-1]}{')' if claim.switch else ''}")
    says = [(claim.system, claim.says) for claim in stored_claims()]
    assert len(set(says)) == len(says)
    with pytest.raises(InputError, match="arm"):
        switched(replace(ONE, having="everything"))


def test_what_is_switched_is_read_off_the_configurations():
    assert switched(ONE) == ["second.cyc 0 → 1"]
    both = switched(replace(ONE, without="no parts"))
    assert {told.split()[0] for told in both} == {"second.sp", "second.sv", "template_from"} & {
        told.split()[0] for told in both
    } and len(both) >= 2


def test_two_answers_to_one_question_are_one_change():
    labels = Claim("LEM", "labels", "", "", "lem_labels", "frozen copy", "certain half", "IoU")
    assert switched(labels) == ["labels: frozen copy → certain half"]
    assert switched(replace(labels, without="certain half", having="all, certain half")) == [
        "attention False → True"
    ]


def test_a_difference_below_the_least_says_nothing():
    assert settle(ONE, rows(0.01, 0.01, 0.01)).verdict == "holds"
    assert settle(replace(ONE, least=0.05), rows(0.01, 0.01, 0.01)).verdict == "does not show"
    assert settle(replace(ONE, least=0.05), rows(0.1, 0.1, 0.1)).verdict == "holds"


def test_causes_and_costs_stand_where_a_claim_did_not_come_out():
    told = replace(ONE, cause="too few birds", cost="an hour")
    for gaps, words in (((-0.1, -0.1, -0.1), "too few birds"), ((), "an hour"), ((0.1,) * 3, "")):
        text = page([settle(told, rows(*gaps))])
        assert [w for w in ("too few birds", "an hour") if w in text] == [words] * bool(words)


def test_every_command_is_understood():
    for name, words in work(stored_claims()):
        experiment = importlib.import_module(words[0]).EXPERIMENT
        given = parser_of(experiment).parse_args(words[1:])
        assert SOURCES[name].module is importlib.import_module(words[0])
        assert given.out is not None
    assert command_of([ONE], (5,))[-2:] == ["--seeds", "5"]


def test_rows_that_stand_are_handed_on_and_others_measured(tmp_path, monkeypatch):
    called = []

    def fake(words, check):
        called.append(words)
        return type("Done", (), {"returncode": int("boom" in words)})()

    monkeypatch.setattr(module.subprocess, "run", fake)
    (path,) = measure_again([("umr", ["svr_nb.experiments.umr"])], tmp_path)
    assert path.exists() and called[0][-2:] == ["--out", str(path)]
    assert not measure_again([("agt", ["x"])], tmp_path, fresh=True)[0].exists()
    with pytest.raises(InputError, match="umr"):
        measure_again([("umr", ["boom"]), ("agt", ["x"])], tmp_path)
    assert len(called) == 4  # the second one of the last call still ran


def test_page_and_command(tmp_path, capsys):
    found = main(["--page", str(tmp_path / "page.md"), "--systems", "TARS"])
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert {one.claim.system for one in found} == {"TARS"} and "## TARS" in text
    assert "not run" in text and "python -m svr_nb.experiments.tars" in text
    assert "Claims and verdicts" in capsys.readouterr().out
    assert page(found, lambda path: f"<{path}>").count("<experiments/978_tars.ipynb>")


def test_measured_again_beside_what_is_stored(tmp_path):
    stored = [one for one in findings() if one.each][0]
    write_rows(tmp_path / f"{stored.claim.rows}.json", module.stored_rows(stored.claim.rows))
    lines = again(tmp_path).rows
    assert lines and all(line["stored"] == line["now"] for line in lines)
