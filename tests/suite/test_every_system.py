"""What every system must do, whichever it is: one set of checks, run on all of them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

import svr_nb as svr
from svr_nb.conventions import CheckpointError, SvrError, seeded
from svr_nb.result.reconstruction import Reconstruction
from svr_nb.training.loop import Moment, make_batch
from svr_nb.training.stages import Stage
from svr_nb.training.system import BeforeEpoch, BeforeStage, Collection, System

from .elsewhere import other_device
from .systems import SYSTEMS, Entry

pytestmark = pytest.mark.parametrize("entry", SYSTEMS, ids=lambda e: e.name)
same = lambda a, b: all(torch.equal(x, b.state_dict()[k]) for k, x in a.state_dict().items())


def batch_of(entry: Entry, count: int = 3, step: int = 0) -> dict:
    return {**entry.data().batch(torch.arange(count)), "generator": seeded(0, step)}


def first_losses(entry: Entry, seed: int = 0, step: int = 0) -> dict:
    system = entry.make(seed)
    return system.losses(batch_of(entry, step=step), system.stages()[0])


def item(entry: Entry):
    one = entry.data()[0]
    return one["image"], one["mask"]


# --- the face
# ---------------------------------------------------------------------------------------------------------


def test_is_a_module_with_a_frozen_config(entry):
    system = entry.make(0)
    assert isinstance(system, torch.nn.Module) and dataclasses.is_dataclass(system.config)
    with pytest.raises(dataclasses.FrozenInstanceError):
        system.config.image_size = 1


def test_has_both_presets(entry):
    kind = type(entry.make(0))
    paper, tiny = kind.Config.paper(), kind.Config.tiny()
    assert paper != tiny and paper.image_size >= tiny.image_size


def test_config_survives_json(entry):
    config = entry.make(0).config
    assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_stages_are_named_and_last(entry):
    stages = entry.make(0).stages()
    assert (
        stages and len({s.name for s in stages}) == len(stages) and all(s.steps > 0 for s in stages)
    )


def test_stage_weights_name_existing_losses_and_groups(entry):
    system = entry.make(0)
    for stage in system.stages():
        losses = system.losses(batch_of(entry), stage)
        assert set(stage.weights) <= set(system.parameter_groups())
        assert {name for weights in stage.weights.values() for name in weights} <= set(losses)


def test_groups_cover_every_parameter_once(entry):
    system = entry.make(0)
    grouped = [id(p) for group in system.parameter_groups().values() for p in group]
    assert sorted(grouped) == sorted(id(p) for p in system.parameters() if p.requires_grad)


# --- losses
# -----------------------------------------------------------------------------------------------------------


def test_losses_are_finite_scalars(entry):
    for name, value in first_losses(entry).items():
        assert value.ndim == 0 and torch.isfinite(value), name


def jolt(system: System) -> None:
    """Moves all weights a little, so that nothing is at its best any more."""
    with torch.no_grad():
        for group in system.parameter_groups().values():
            for number, p in enumerate(group):
                p += 1e-2 * torch.randn(p.shape, generator=seeded(9, number))


def begin(system: System, data: Collection, stage: Stage, number: int) -> dict:
    """Calls the hooks that open a stage; a batch from its middle, in which every group learns."""
    if isinstance(system, BeforeStage):
        system.before_stage(data, stage, seeded(0, 2, number))
    if isinstance(system, BeforeEpoch):
        system.before_epoch(data, stage, 0, seeded(0, 3, number, 0))
    moment = Moment(seed=0, stage=number, step=stage.steps // 2, total=9)
    batch = make_batch(data, stage, moment, torch.device("cpu"))
    return {**batch, "progress": 0.5, "groups": tuple(stage.weights)}


def pull(loss: torch.Tensor, params: list) -> float:
    """Sum of absolute values of a loss's gradient."""
    if not loss.requires_grad:
        return 0.0
    grads = torch.autograd.grad(loss, params, retain_graph=True, allow_unused=True)
    return sum(float(grad.abs().sum()) for grad in grads if grad is not None)


def test_every_weighted_loss_reaches_its_group(entry):
    """Each loss alone, in every stage, moves each group that the stage tells it to."""
    system, silent = entry.make(0), []
    for number, stage in enumerate(system.stages()):  # a stage builds on what those before it left
        batch = begin(system, entry.data(), stage, number)
        jolt(system)
        losses, groups = system.losses(batch, stage), system.parameter_groups()
        for group, weights in stage.weights.items():
            params = [p for p in groups[group] if p.requires_grad]
            assert params, f"{stage.name}: nothing in {group} can learn"
            for name in weights:
                size = pull(losses[name], params)
                if not (0 < size < float("inf")):
                    silent.append(f"{stage.name}: {name} pulls on {group} with {size}")
    assert not silent, "\n".join(silent)


def test_losses_depend_on_the_image(entry):
    system = entry.make(0)
    batch = batch_of(entry)
    other = {**batch, "image": batch["image"].flip(-1), "mask": batch["mask"].flip(-1)}
    for stage in system.stages():
        a, b = (system.losses({**x, "generator": seeded(0)}, stage) for x in (batch, other))
        differ = any(a[k] != b[k] for k in a)
        assert differ == (stage.name not in entry.blind), stage.name


def test_losses_repeat_bit_for_bit(entry):
    a, b = first_losses(entry), first_losses(entry)
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_losses_do_not_touch_the_batch(entry):
    batch = batch_of(entry)
    before = {k: v.clone() for k, v in batch.items() if isinstance(v, torch.Tensor)}
    system = entry.make(0)
    system.losses(batch, system.stages()[0])
    assert all(torch.equal(v, batch[k]) for k, v in before.items())


def test_seed_decides_the_start(entry):
    assert same(entry.make(1), entry.make(1)) and not same(entry.make(1), entry.make(2))


# --- training
# ---------------------------------------------------------------------------------------------------------


def test_fit_changes_weights_and_keeps_them_finite(entry, tmp_path):
    system = entry.make(0)
    svr.fit(system, entry.data(), out=tmp_path / "run", progress=False)
    assert not same(system, entry.make(0)) and all(
        torch.isfinite(p).all() for p in system.parameters()
    )


def test_fit_repeats_bit_for_bit(entry):
    a, b = entry.make(0), entry.make(0)
    for system in (a, b):
        svr.fit(system, entry.data(), progress=False)
    assert same(a, b)


def test_fit_does_not_depend_on_the_global_state(entry):
    a, b = entry.make(0), entry.make(0)
    torch.manual_seed(1)
    svr.fit(a, entry.data(), progress=False)
    torch.manual_seed(2)
    svr.fit(b, entry.data(), progress=False)
    assert same(a, b)


def test_stop_and_resume_is_exact(entry, tmp_path):
    whole, parts = entry.make(0), entry.make(0)
    svr.fit(whole, entry.data(), progress=False)

    class Stop(Exception):
        """Interrupts the run."""

    def interrupt(step, *_):
        if step == 3:
            raise Stop

    with pytest.raises(Stop):
        svr.fit(
            parts,
            entry.data(),
            out=tmp_path / "run",
            progress=False,
            on_step=interrupt,
            save_every=1,
        )
    resumed = entry.make(5)
    svr.fit(resumed, entry.data(), out=tmp_path / "run", progress=False)
    assert same(whole, resumed)


def test_nan_stops_with_a_name(entry):
    system = entry.make(0)
    with torch.no_grad():
        next(iter(system.parameters())).fill_(float("nan"))
    with pytest.raises(SvrError):
        svr.fit(system, entry.data(), progress=False)


# --- weights
# ----------------------------------------------------------------------------------------------------------


def saved(entry, tmp_path):
    system = entry.make(0)
    system.save_pretrained(tmp_path / "model")
    return system, tmp_path / "model"


def test_save_and_load_give_the_same_bits(entry, tmp_path):
    system, folder = saved(entry, tmp_path)
    again = type(system).from_pretrained(str(folder))
    assert same(system, again) and again.config == system.config


def test_saved_folder_is_safe_and_described(entry, tmp_path):
    _, folder = saved(entry, tmp_path)
    names = {p.name for p in folder.iterdir()}
    assert {"config.json", "model.safetensors", "README.md"} <= names and not [
        n for n in names if n.endswith((".bin", ".pt", ".pth", ".pkl"))
    ]


def test_damaged_weights_are_refused(entry, tmp_path):
    system, folder = saved(entry, tmp_path)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CheckpointError):
        type(system).from_pretrained(str(folder))


def test_missing_weight_is_named(entry, tmp_path):
    from safetensors.torch import load_file, save_file

    system, folder = saved(entry, tmp_path)
    tensors = load_file(folder / "model.safetensors")
    name = sorted(tensors)[0]
    tensors.pop(name)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        type(system).from_pretrained(str(folder))


def test_nowhere_is_refused(entry, tmp_path):
    with pytest.raises(CheckpointError):
        type(entry.make(0)).from_pretrained(str(tmp_path / "nothing"))


# --- reconstruction
# ---------------------------------------------------------------------------------------------------


def test_reconstructs_a_tensor(entry):
    result = entry.make(0).reconstruct(*item(entry))
    assert isinstance(result, Reconstruction)
    points = result.points.points
    assert points.shape[1] == 3 and torch.isfinite(points).all()


def test_reconstructs_a_batch(entry):
    batch = batch_of(entry)
    results = entry.make(0).reconstruct(batch["image"], batch["mask"])
    assert isinstance(results, list) and len(results) == 3


def test_batch_equals_single(entry):
    system, batch = entry.make(0), batch_of(entry)
    many, one = (
        system.reconstruct(batch["image"], batch["mask"])[1],
        system.reconstruct(batch["image"][1], batch["mask"][1]),
    )
    a, b = (found.points.points for found in (many, one))
    if one.predicted == "voxels":  # last bits may move a point of its surface to the next face
        a, b = (found.voxels.occupancy for found in (many, one))
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("form", ["pil", "pil_rgba", "array", "tensor"])
def test_takes_images_in_any_form(entry, form):
    image, mask = item(entry)
    array = (image.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    alpha = (mask[0].numpy() * 255).astype(np.uint8)[..., None]
    system = entry.make(0)
    if form == "pil_rgba":
        result = system.reconstruct(Image.fromarray(np.concatenate([array, alpha], -1)))
    else:
        result = system.reconstruct(
            {"pil": Image.fromarray(array), "array": array, "tensor": image}[form], mask
        )
    assert torch.isfinite(result.points.points).all()


def test_reconstruct_leaves_the_system_as_it_was(entry):
    system = entry.make(0)
    before = {k: v.clone() for k, v in system.state_dict().items()}
    mode = system.training
    system.reconstruct(*item(entry))
    assert (
        all(torch.equal(v, system.state_dict()[k]) for k, v in before.items())
        and system.training == mode
    )


def test_reconstruction_repeats(entry):
    system = entry.make(0)
    a, b = (system.reconstruct(*item(entry)).points.points for _ in range(2))
    assert torch.equal(a, b)


@pytest.mark.parametrize("kind", ["glb", "ply", "obj"])
def test_result_saves(entry, tmp_path, kind):
    path = entry.make(0).reconstruct(*item(entry)).save(tmp_path / f"x.{kind}")
    assert path.stat().st_size > 100


def test_result_renders(entry):
    result = entry.make(0).reconstruct(*item(entry))
    for picture in (result.render(size=40), result.render(azimuth=30, elevation=10, size=40)):
        assert picture.shape == (3, 40, 40) and 0 <= picture.min() and picture.max() <= 1


def test_result_shows_itself(entry):
    shown = entry.make(0).reconstruct(*item(entry))._repr_mimebundle_()
    shown = shown[0] if isinstance(shown, tuple) else shown
    assert "<" in shown["text/html"] and shown["image/png"]  # turning, and for readers without it


@pytest.mark.parametrize(
    "bad",
    [
        torch.zeros(3, 0, 0),
        torch.full((3, 32, 32), float("nan")),
        torch.zeros(5, 32, 32),
        "no such file.png",
        None,
    ],
)
def test_bad_images_get_one_clear_error(entry, bad):
    with pytest.raises(SvrError):
        entry.make(0).reconstruct(bad, torch.ones(1, 32, 32))


def test_evaluation_is_a_table(entry):
    table = svr.evaluate(entry.make(0), entry.data(), limit=4)
    assert len(table.rows) >= 2 and all(np.isfinite(row["mean"]) for row in table.rows)


def said(found: Reconstruction) -> torch.Tensor:
    """What the system itself answers; points that are only sampled from it may tip over to the next
    triangle.
    """
    form = getattr(found, found.predicted)
    return {
        "points": lambda: form.points,
        "mesh": lambda: form.verts,
        "voxels": lambda: form.occupancy,
    }[found.predicted]().cpu()


@pytest.mark.cuda
def test_cpu_and_gpu_agree(entry):
    system = entry.make(0)
    cpu = said(system.reconstruct(*item(entry)))
    gpu = said(system.cuda().reconstruct(*(x.cuda() for x in item(entry))))
    torch.testing.assert_close(cpu, gpu, atol=1e-3, rtol=1e-3)


def opening_losses(entry, device: str) -> list[dict[str, float]]:
    """Losses of the first step of every stage, trained for two."""
    found = []
    for stage in entry.make(0).stages():
        kept: list[dict[str, float]] = []
        svr.fit(
            entry.make(0),
            entry.data(),
            seed=3,
            device=device,
            progress=False,
            stages=[dataclasses.replace(stage, steps=2)],
            on_step=lambda _, values, kept=kept: kept.append(dict(values)),
        )
        found.append(kept[0])
    return found


def assert_alike(one: list[dict[str, float]], two: list[dict[str, float]]) -> None:
    for here, there in zip(one, two, strict=True):
        assert here.keys() == there.keys() and all(
            there[name] == pytest.approx(here[name], rel=2e-2, abs=2e-4) for name in here
        )


@pytest.mark.cuda
def test_every_stage_starts_alike_on_cpu_and_gpu(entry):
    assert_alike(opening_losses(entry, "cpu"), opening_losses(entry, "cuda"))


def test_nothing_is_left_behind_on_the_processor(entry):
    """Training and reconstruction on a stand-in for a graphics card, which refuses to mix devices."""
    here, answer = opening_losses(entry, "cpu"), said(entry.make(0).reconstruct(*item(entry)))
    with other_device() as device:
        assert_alike(here, opening_losses(entry, device))
        there = said(entry.make(0).to(device).reconstruct(*(x.to(device) for x in item(entry))))
    torch.testing.assert_close(answer, there, atol=1e-3, rtol=1e-3)
