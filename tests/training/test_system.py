"""Weights and run folders on disk: round trips, damage of every kind, files that must never be
opened.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import socket

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import svr_nb as svr
from svr_nb.conventions import CheckpointError, InputError
from svr_nb.training import system as C
from svr_nb.training.config import ConfigBase, config_from_dict
from svr_nb.training.run_files import RunFolder, read_tensors, write_bytes, write_tensors


@dataclasses.dataclass(frozen=True)
class Inner:
    sizes: tuple[tuple[int, float], ...] = ((1, 0.5),)


class Small(C.SystemBase):
    """A system as small as can be."""

    @dataclasses.dataclass(frozen=True)
    class Config(ConfigBase):
        width: int = 3
        widths: tuple[int, ...] = (4, 5)
        span: tuple[float, float] = (-1.0, 1.0)
        name: str | None = None
        flag: bool = False
        rates: dict[str, float] = dataclasses.field(default_factory=dict)
        inner: Inner = Inner()

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.layer = nn.Linear(config.width, 2)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))


def saved(folder, **config):
    system = Small(Small.Config(**config))
    system.category, system.notes = "car", "Trained on nothing."
    system.save_pretrained(folder)
    return system


# --- configurations ---


@given(
    st.integers(1, 9),
    st.lists(st.integers(0, 9), max_size=4),
    st.one_of(st.none(), st.text(max_size=5)),
    st.booleans(),
    st.floats(-1e6, 1e6, allow_nan=False),
)
def test_config_survives_json(width, widths, name, flag, number):
    config = Small.Config(
        width, tuple(widths), (number, 2.0), name, flag, {"a": number}, Inner(((2, number),))
    )
    again = Small.Config.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config and isinstance(again.inner.sizes[0], tuple)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"wdth": 3}, "wdth"),
        ({"width": "3"}, "width"),
        ({"width": 3.5}, "width"),
        ({"width": True}, "width"),
        ({"span": [1.0]}, "span"),
        ({"flag": 1}, "flag"),
        ({"name": 5}, "name"),
        ({"inner": 3}, "inner"),
        ({"widths": [1, "x"]}, r"widths\[1\]"),
        ({"inner": {"sizes": [[1]]}}, r"config.inner.sizes\[0\]"),
        ({"inner": {"size": 1}}, "config.inner.*unknown size"),
        ({"rates": {"a": "fast"}}, r"rates\[a\]"),
        ({"rates": [1.0]}, "rates"),
    ],
)
def test_wrong_config_names_the_field(values, word):
    with pytest.raises(CheckpointError, match=word):
        config_from_dict(Small.Config, values)


@dataclasses.dataclass(frozen=True)
class Needy:
    size: int


def test_a_missing_field_is_named():
    with pytest.raises(CheckpointError, match="size"):
        config_from_dict(Needy, {})


def test_an_integer_may_stand_for_a_float():
    assert config_from_dict(Small.Config, {"span": [0, 1]}).span == (0.0, 1.0)


def test_wrong_kind_of_config_is_refused():
    with pytest.raises(InputError, match="config"):
        Small(Inner())


# --- save and load ---


def test_round_trip(tmp_path):
    system = saved(tmp_path, width=4)
    again = Small.from_pretrained(tmp_path)
    assert (
        again.config == system.config
        and again.category == "car"
        and again.notes == system.notes
        and not again.training
    )
    assert all(
        torch.equal(a, b) for a, b in zip(system.state_dict().values(), again.state_dict().values())
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]


def test_loading_a_folder_needs_no_network(tmp_path, monkeypatch):
    saved(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", lambda *a: pytest.fail("tried to connect"))
    Small.from_pretrained(str(tmp_path))


def test_the_base_class_finds_the_right_system():
    folder = C._shipped_folder() / "tars-chair"
    assert type(C.SystemBase.from_pretrained(folder)) is svr.TARS


def test_the_base_class_does_not_load_unknown_systems(tmp_path):
    saved(tmp_path)
    with pytest.raises(InputError, match="one of ssl3d, umr, agt, tars, lem"):
        C.SystemBase.from_pretrained(tmp_path)


def test_card_says_what_it_is(tmp_path):
    saved(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: svr_nb") and "# Small for car" in card
    assert "| width | `3` |" in card and "Trained on nothing." in card


def test_terms_go_along_and_are_said_once(tmp_path, recwarn):
    """Weights with terms of their own say so in the card, the notice and at the first loading."""
    system = saved(tmp_path / "free")
    assert (
        not (tmp_path / "free" / C.NOTICE).exists()
        and not Small.from_pretrained(tmp_path / "free").terms
    )
    system.category, system.terms = f"car-{tmp_path.name}", "For research only: borrowed pictures."
    system.save_pretrained(tmp_path / "own")
    said = (tmp_path / "own" / C.NOTICE).read_text()
    assert "not under the licence" in said and system.terms in said
    card = (tmp_path / "own" / C.CARD).read_text()
    assert "license: other" in card and system.terms in card
    again = [Small.from_pretrained(tmp_path / "own") for _ in range(2)]
    assert [one.terms for one in again] == [system.terms] * 2
    assert len([w for w in recwarn if system.terms in str(w.message)]) == 1


def test_every_shipped_network_says_its_terms():
    """What was trained on photographs from elsewhere is not under the library's licence."""
    terms, folder = C.shipped_terms(), C._shipped_folder()
    for name in C.shipped():
        card = (folder / name / C.CARD).read_text(encoding="utf-8")
        assert ("Weizmann" in card) == (name in terms), name
        assert ("license: apache-2.0" in card) == (name not in terms), name
        assert (folder / name / C.NOTICE).exists() == (name in terms), name
    assert "research only" in terms["umr-horse"]


def test_shared_and_transposed_tensors_can_be_written(tmp_path):
    base = torch.arange(6.0).reshape(2, 3)
    write_tensors(tmp_path / "x.safetensors", {"a": base, "b": base, "t": base.T})
    again = read_tensors(tmp_path / "x.safetensors")
    assert torch.equal(again["t"], base.T) and torch.equal(again["a"], again["b"])


# --- damage ---


def rewrite(folder, change):
    tensors = read_tensors(folder / "model.safetensors")
    change(tensors)
    write_tensors(folder / "model.safetensors", tensors)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("layer.bias"), "missing: layer.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), "extra: extra"),
        (
            lambda t: t.update({"layer.weight": torch.zeros(2, 9)}),
            r"wrong shape: layer.weight \(2, 9\) instead of \(2, 3\)",
        ),
        (
            lambda t: t.update({"layer.bias": torch.tensor([1.0, float("nan")])}),
            "NaN or infinite: layer.bias",
        ),
        (lambda t: t.update({"layer.bias": torch.tensor([1, 2])}), "wrong type: layer.bias"),
        (
            lambda t: (t.pop("layer.bias"), t.update(extra=torch.zeros(1))),
            "missing: layer.bias; extra: extra",
        ),
    ],
)
def test_wrong_weights_are_named(tmp_path, change, words):
    saved(tmp_path)
    rewrite(tmp_path, change)
    with pytest.raises(CheckpointError, match=words):
        Small.from_pretrained(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 8, 30, -1])
def test_truncated_weights_are_refused(tmp_path, keep):
    saved(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="damaged"):
        Small.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "{}", '{"system": "Small"}', '{"system": "Small", "config": 3}']
)
def test_damaged_config_is_refused(tmp_path, text):
    saved(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match="config.json"):
        Small.from_pretrained(tmp_path)


def test_another_systems_checkpoint_is_refused(tmp_path):
    saved(tmp_path)
    record = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**record, "system": "Other"}))
    with pytest.raises(CheckpointError, match="Other"):
        Small.from_pretrained(tmp_path)


class Trap:
    """Leaves a trace if it is ever unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "model.pth", "model.ckpt", "model.pkl"]
)
def test_pickles_are_never_opened(tmp_path, name):
    saved(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / name).write_bytes(pickle.dumps(Trap(tmp_path / "trace")))
    with pytest.raises(CheckpointError, match="pickle"):
        Small.from_pretrained(tmp_path)
    assert not (tmp_path / "trace").exists()


def test_a_pickle_that_calls_itself_safetensors_is_not_run(tmp_path):
    saved(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps(Trap(tmp_path / "trace")))
    with pytest.raises(CheckpointError, match="damaged"):
        Small.from_pretrained(tmp_path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("name", ["nowhere", "./no/where", "/no/where", ""])
def test_missing_folder_is_a_clear_error(name):
    with pytest.raises(CheckpointError, match="name"):
        Small.from_pretrained(name)


def test_load_lists_what_there_is():
    with pytest.raises(CheckpointError, match="nothing-here"):
        C.load("nothing", "here")
    assert all("-" in name for name in C.shipped())


@pytest.mark.parametrize(
    "system, category, words",
    [
        ("ssl3d", "bird", "bird is known to umr, agt"),
        ("lem", "Chair", "lem ships for object; chair is known to ssl3d, tars"),
        ("tars", "chiar", "Perhaps 'chair'"),
        ("umrr", "bird", "Perhaps 'umr-bird'"),
        ("agt", "flamingo", "Train one"),
    ],
)
def test_load_says_who_knows_the_category(system, category, words):
    with pytest.raises(CheckpointError, match=words):
        C.load(system, category)


def test_a_run_that_is_missing_is_not_looked_for_on_the_hub(tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(C, "_on_the_hub", lambda *_: pytest.fail("asked the Hub"))
    with pytest.raises(CheckpointError, match="nothing of the name"):
        Small.from_pretrained("runs/car")


# --- which systems there are ---


def test_exactly_the_five_systems_are_known():
    assert sorted(C.SYSTEMS) == ["agt", "lem", "ssl3d", "tars", "umr"]
    for name in C.SYSTEMS:
        kind = C.system_class(name)
        assert kind is getattr(svr, name.upper()) and kind is C.system_class(name.upper())
        assert kind.__module__ == f"svr_nb.{name}.system" and issubclass(kind, C.SystemBase)


@pytest.mark.parametrize(
    "name",
    ["nosuch", "os", "../x", "", "small", "systembase", "portable", "_networks", "_answering"],
)
def test_nothing_else_is_a_system(name):
    for known in C.SYSTEMS:
        C.system_class(known)  # whatever their modules define beside them
    with pytest.raises(InputError, match="system: expected one of ssl3d, umr, agt, tars, lem"):
        C.system_class(name)


def test_a_subclass_does_not_replace_a_system():
    before = C.system_class("umr")
    mine = type("UMR", (before,), {"__module__": "somewhere.else"})
    assert mine.__name__ == "UMR" and C.system_class("umr") is before
    tiny = type("TARS", (Small,), {"Config": Small.Config})
    assert tiny.__name__ == "TARS" and C.system_class("tars") is svr.TARS


# --- run folders ---


def test_run_folder_keeps_the_newest_whole_ones(tmp_path):
    run = RunFolder(tmp_path / "run")
    assert run.latest() is None
    for step in (5, 10, 15):
        run.save(step, {"model": {"w": torch.full((2,), float(step))}}, {"step": step})
    assert (
        run.steps() == [10, 15]
        and run.latest().step == 15
        and run.latest().tensors("model")["w"].tolist() == [15, 15]
    )
    assert run.latest().tensors("nothing") == {}


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "state", "empty state"])
def test_damaged_snapshot_is_passed_over(tmp_path, damage):
    run = RunFolder(tmp_path)
    for step in (5, 10):
        run.save(step, {"model": {"w": torch.ones(64)}}, {})
    weights, state = run.folder(10) / "model.safetensors", run.folder(10) / "state.json"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    {
        "flip": lambda: weights.write_bytes(data),
        "cut": lambda: weights.write_bytes(data[:50]),
        "remove": weights.unlink,
        "state": lambda: state.write_text("[1]"),
        "empty state": lambda: state.write_text(""),
    }[damage]()
    assert run.latest().step == 5


def test_saving_a_step_again_replaces_it(tmp_path):
    run = RunFolder(tmp_path)
    for value in (1.0, 2.0):
        run.save(3, {"model": {"w": torch.tensor(value)}}, {})
    assert run.latest().tensors("model")["w"].item() == 2 and [
        p.name for p in tmp_path.iterdir()
    ] == ["step-000000003"]


def test_clear_leaves_other_files(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    run = RunFolder(tmp_path)
    run.save(1, {}, {})
    run.clear()
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_is_not_a_run_folder(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(InputError, match="out"):
        RunFolder(tmp_path / "x")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_bytes(tmp_path / "x", b"old")
    with pytest.raises(TypeError):
        write_bytes(tmp_path / "x", "not bytes")
    assert (tmp_path / "x").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1
