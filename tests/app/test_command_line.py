"""The program, run as a person runs it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import svr_nb as svr
from svr_nb.app import command_line
from svr_nb.app.command_line import demo, main
from svr_nb.app.training_runs import Source, preset_of
from svr_nb.conventions import SvrError
from svr_nb.data.paper_collections import write_miniature


def test_help_lists_every_command():
    said = subprocess.run(
        [sys.executable, "-m", "svr_nb.app.command_line", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert all(
        word in said for word in ("reconstruct", "train", "evaluate", "samples", "doctor", "demo")
    )


def test_doctor(capsys):
    assert main(["doctor"]) == 0
    assert "CPU tensors" in capsys.readouterr().out


def test_samples_can_be_read_again(tmp_path):
    assert (
        main(
            [
                "samples",
                "mug",
                "--count",
                "3",
                "--size",
                "24",
                "--out",
                str(tmp_path / "mugs.safetensors"),
            ]
        )
        == 0
    )
    assert svr.data.Collection.load(tmp_path / "mugs.safetensors").fields["image"].shape == (
        3,
        3,
        24,
        24,
    )


@pytest.mark.parametrize(
    "words",
    [
        ["reconstruct", "nothing.jpg"],
        ["samples", "unicorn", "--out", "x.safetensors"],
        ["evaluate", "nowhere", "--count", "2"],
        ["train", "nosystem", "--out", "x"],
    ],
)
def test_refusals_are_one_sentence(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert (
        said.startswith("svr_nb: ")
        and "Traceback" not in said
        and len(said.strip().splitlines()) == 1
    )


def test_reconstruct_writes_a_file(tmp_path):
    item = svr.data.samples("horse", split="test", count=1, size=80, seed=1)[0]
    svr.shapes.save_image(torch.cat([item["image"], item["mask"]]), tmp_path / "photo.png")
    assert (
        main(
            [
                "reconstruct",
                str(tmp_path / "photo.png"),
                "--category",
                "horse",
                "--steps",
                "0",
                "--out",
                str(tmp_path / "horse.glb"),
            ]
        )
        == 0
    )
    assert (tmp_path / "horse.glb").stat().st_size > 1000


def test_demo_leaves_a_page_and_files(tmp_path):
    item = svr.data.samples("car", split="test", count=1, size=80, seed=1)[0]
    svr.shapes.save_image(torch.cat([item["image"], item["mask"]]), tmp_path / "photo.png")
    page = demo(tmp_path / "demo", category="car", photo=str(tmp_path / "photo.png"), steps=2)
    text = page.read_text()
    assert (
        "IoU" in text
        and "http://" not in text.replace("http://www.w3.org", "")
        and "https://" not in text
    )
    assert {p.suffix for p in page.parent.iterdir()} >= {".html", ".glb", ".ply"}


def test_demo_begins_with_a_photograph_where_one_ships():
    """Real photographs first, then a sample of every category; systems without either have none."""
    jobs = command_line._usual_jobs("umr")
    assert "Muybridge" in jobs[0][0] and jobs[0][1] == "horse" and jobs[0][2].shape[0] == 3
    assert {job[1] for job in jobs[1:]} == set(svr.training.system.shipped_categories("umr"))
    assert all(job[2] is None for job in command_line._usual_jobs("lem"))


def test_check_data_draws_only_where_it_is_told(tmp_path, monkeypatch, capsys):
    write_miniature("drc", tmp_path / "set")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["check-data", "drc", str(tmp_path / "set"), "--size", "32"]) == 0
    assert "--sheet" in capsys.readouterr().out and not list((tmp_path / "here").iterdir())
    sheet = tmp_path / "sheet.png"
    assert main(["check-data", "drc", str(tmp_path / "set"), "--sheet", str(sheet)]) == 0
    assert sheet.exists() and f"wrote {sheet}" in capsys.readouterr().out


@pytest.mark.parametrize("system", ["ssl3d", "umr", "agt", "tars", "lem"])
def test_every_system_has_a_preset_between(system):
    kind = svr.training.system.system_class(system)
    tiny, small, paper = (getattr(kind.Config, name)() for name in ("tiny", "small", "paper"))
    assert kind.Config.from_dict(small.to_dict()) == small
    assert tiny.image_size <= small.image_size and tiny != small != paper
    assert preset_of(kind, "small", Source()) == small
    with pytest.raises(SvrError, match="--preset"):
        preset_of(kind, "medium", Source())


# --- whatever is typed ends in one line ---


@pytest.fixture
def horse(tmp_path):
    """A photograph of a horse and its mask, as files."""
    item = svr.data.samples("horse", split="test", count=1, size=128, seed=4)[0]
    svr.shapes.save_image(item["image"], tmp_path / "p.png")
    svr.shapes.save_image(item["mask"].expand(3, -1, -1), tmp_path / "m.png")
    return tmp_path


def one_line(capsys) -> str:
    """What a command that was refused wrote, which must be one line of its own."""
    said = capsys.readouterr().err
    assert said.count("svr_nb: ") == 1 and "Traceback" not in said, said
    return next(line for line in said.splitlines() if line.startswith("svr_nb: "))


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--system", "umr", "--steps", "-5"], "steps"),
        (["--out", "p.png"], "--out"),
        (["--out", "./m.png"], "--out"),
        (["--out", "link.png"], "--out"),
        (["--out", "m.docx"], "ends in"),
        (["--out", "file/a.glb"], "a place to write to"),
        (["--out", "file/sub/a.ply"], "a place to write to"),
        (["--out", "/proc/a.glb"], "to write to"),
        (["--out", "https://example.org/a.glb"], "address"),
        (["--category", "hrose"], "Perhaps 'horse'"),
        (["--system", "ulm"], "one of ssl3d, umr, agt, tars, lem"),
        (["--steps", "-5"], "steps"),
        (["--steps", "many"], "--steps"),
        (["--device", "cuda:99"], "device"),
        (["--colour", "red"], "--help"),
    ],
)
def test_reconstruct_refuses_in_one_line(horse, words, hint, capsys, monkeypatch):
    monkeypatch.chdir(horse)
    (horse / "file").touch()
    (horse / "link.png").symlink_to("p.png")
    before = {name: (horse / name).read_bytes() for name in ("p.png", "m.png")}
    status = main(["reconstruct", "p.png", "--mask", "m.png", "--steps", "1", *words])
    assert status == 2 and hint in one_line(capsys)
    assert {name: (horse / name).read_bytes() for name in before} == before


def test_an_address_is_refused_as_what_it_is(capsys):
    assert main(["reconstruct", "https://example.org/horse.jpg"]) == 2
    said = one_line(capsys)
    assert "https://example.org/horse.jpg" in said and "Download it first" in said


@pytest.mark.parametrize("ending", ["glb", "obj", "ply"])
def test_side_files_leave_the_photograph_alone(horse, ending, monkeypatch):
    monkeypatch.chdir(horse)
    before = (horse / "p.png").read_bytes()
    words = ["reconstruct", "p.png", "--mask", "m.png", "--system", "umr", "--out", f"p.{ending}"]
    assert main(words) == 0
    assert (horse / "p.png").read_bytes() == before and (horse / f"p.{ending}").exists()


def test_notes_and_an_inverted_mask(horse, capsys):
    mask = svr.shapes.load_image(horse / "m.png")[0]
    svr.shapes.save_image(1 - mask, horse / "inverted.png")
    words = ["reconstruct", horse / "p.png", "--mask", horse / "inverted.png", "--invert-mask"]
    assert main([str(word) for word in [*words, "--steps", 2, "--out", horse / "a.glb"]]) == 0
    said = capsys.readouterr().out
    assert "note: fitted to the photograph in 2 steps" in said and "wrote " in said


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"svr_nb {svr.__version__}"


def test_help_lists_systems_and_categories(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(name.partition("-")[2] in said for name in svr.shipped())
    assert all(name in said for name in ("ssl3d", "umr", "agt", "tars", "lem"))


def test_unexpected_errors_are_one_line_too(capsys, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("half a\nsentence")

    monkeypatch.setattr("svr_nb.app.diagnosis.doctor", broken)
    assert main(["doctor"]) == 2
    said = one_line(capsys)
    assert "half a sentence" in said and "SVR_NB_DEBUG=1" in said
    monkeypatch.setenv("SVR_NB_DEBUG", "1")
    with pytest.raises(RuntimeError):
        main(["doctor"])


def test_ctrl_c_is_130_and_says_how_to_go_on(capsys, monkeypatch, tmp_path):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("svr_nb.training.loop.fit", stopped)
    assert main(["train", "ssl3d", "--count", "2", "--out", str(tmp_path / "run")]) == 130
    assert "same command goes on" in one_line(capsys)


@pytest.mark.parametrize("name", ["ssl3d", "umr", "agt", "tars", "lem"])
def test_train_works_with_its_own_defaults(name, tmp_path, monkeypatch, capsys):
    """All but the steps: of each system's first stage one is made."""
    from svr_nb.training import loop

    monkeypatch.chdir(tmp_path)
    real = loop.fit
    stop = lambda step, losses: True
    short = lambda *given, **named: real(*given, **{**named, "on_step": stop, "progress": False})
    monkeypatch.setattr(loop, "fit", short)
    assert main(["train", name, "--count", "8"]) == 0
    assert "warning" not in capsys.readouterr().err
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith(f"{name}-") and (run / "model" / "config.json").exists()
    assert main(["evaluate", str(run), "--count", "2"]) == 0  # config.json names the system
    assert name.upper() in capsys.readouterr().out


@pytest.mark.parametrize("category", ["cars", "Horses"])
def test_umr_takes_as_many_parts_as_the_samples_have(category, tmp_path, monkeypatch):
    from svr_nb.training import loop

    seen = []
    monkeypatch.setattr(loop, "fit", lambda model, *_, **__: seen.append(model.config.parts))
    words = ["train", "umr", "--category", category, "--count", "2", "--out", str(tmp_path / "r")]
    assert main(words) == 0 and seen == [5]


def test_evaluate_says_that_a_run_has_not_ended(tmp_path, capsys):
    (tmp_path / "step-000000003").mkdir()
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "unfinished" in one_line(capsys)


def test_missing_packages_are_named(capsys, monkeypatch, horse):
    monkeypatch.setitem(sys.modules, "k3d", None)
    monkeypatch.setitem(sys.modules, "plotly", None)
    for call in (
        lambda: svr.Reconstruction(points=torch.rand(9, 3)).show(),
        lambda: svr.view.plotly_figure(torch.rand(9, 3)),
    ):
        with pytest.raises(svr.SvrError, match=r'pip install "svr_nb\[lab\]"'):
            call()
