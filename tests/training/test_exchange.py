"""Networks in files: the same answers, for any number of pictures, and clear refusals."""

from __future__ import annotations

import pytest
import torch

import svr_nb as svr
from svr_nb.training.exchange import (
    about,
    answer_names,
    disagreement,
    example_inputs,
    export,
    traced,
)
from svr_nb.umr.expectation import crop_view

SHIPPED = [("ssl3d", "car"), ("umr", "bird"), ("agt", "bird"), ("tars", "chair"), ("lem", "object")]


@pytest.mark.parametrize(("name", "category"), SHIPPED, ids=[name for name, _ in SHIPPED])
def test_onnx_says_what_the_system_says(name, category, tmp_path):
    pytest.importorskip("onnxruntime")
    system = svr.load(name, category)
    file = export(system, tmp_path / "net.onnx")
    for batch in (1, 2, 7):
        found = disagreement(system, file, batch)
        assert set(found) == set(answer_names(system))
        assert max(found.values()) < 1e-4, (batch, found)


def test_the_file_says_what_it_is(tmp_path):
    onnx = pytest.importorskip("onnx")
    system = svr.load("ssl3d", "car")
    model = onnx.load(export(system, tmp_path / "car.onnx"))
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts == about(system)
    assert facts["system"] == "SSL3D" and "input mask" in facts


@pytest.mark.parametrize(("name", "category"), SHIPPED, ids=[name for name, _ in SHIPPED])
def test_the_traced_operations_say_it_too(name, category):
    system = svr.load(name, category).train()
    program = traced(system).module()
    assert system.training, "the mode is left alone"
    inputs = example_inputs(system, 5)
    with torch.no_grad():
        mine, theirs = system.eval()(**inputs), program(**inputs)
    pairs = zip(mine, theirs) if isinstance(mine, tuple) else [(mine, theirs)]
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in pairs)


def test_tars_is_asked_anywhere(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    system = svr.load("tars", "chair")
    session = runtime.InferenceSession(str(export(system, tmp_path / "chair.onnx")))
    for places in (1, 1000):
        inputs = example_inputs(system, 2, places)
        sdf = session.run(["sdf"], {n: v.numpy() for n, v in inputs.items()})[0]
        assert sdf.shape == (2, places)


@pytest.mark.parametrize("name", ["net.bin", "net", "net.onnx.gz"])
def test_other_endings_are_refused(name, tmp_path):
    with pytest.raises(svr.InputError, match=r"ends in \.onnx"):
        export(svr.load("lem", "object"), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_forward_is_reconstruct_without_questions():
    bird = svr.load("umr", "bird")
    data = svr.data.samples("bird", split="test", count=2, size=96, seed=3, progress=False)
    view = crop_view(data["image"], data["mask"], None, bird.config.image_size, bird.config.fill)
    said = bird(view.image, torch.ones_like(view.mask))  # the crops are black outside already
    for item, result in enumerate(bird.reconstruct(data["image"], data["mask"])):
        assert torch.allclose(said.verts[item], result.mesh.verts, atol=1e-5)
