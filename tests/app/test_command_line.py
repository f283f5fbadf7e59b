"""The program, run as a person runs it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import svr_nb as svr
from svr_nb.app.command_line import demo, main


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
