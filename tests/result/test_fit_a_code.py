"""A code fitted to a silhouette, the camera it is seen from, and the two systems that do so."""

from __future__ import annotations

import pytest
import torch

import svr_nb as svr
from svr_nb.cameras.projections import Orthographic, orbit, view_angles
from svr_nb.conventions import InputError, pixel_centers
from svr_nb.result.fit_a_code import best_orbit, fit_code, framed, ray_points
from svr_nb.result.reconstruction import silhouette_of

CAMERA = orbit(0.0, 0.0)
DISK = (pixel_centers(48, 48).norm(dim=-1) < 0.6).float()[None]


def ball(code, points):
    return torch.sigmoid((code[0, 0].exp() - points.norm(dim=-1)) / 0.02)


@pytest.fixture(scope="module")
def chair():
    return svr.data.samples("chair", "test", 1, seed=2, meshes=True, size=48, points=0)


def test_the_radius_is_found_and_the_leash_holds():
    start = torch.tensor([[-2.0, 0.0]])
    free = fit_code(start, ball, CAMERA, DISK, 60, leash=0.0)
    held = fit_code(start, ball, CAMERA, DISK, 60, leash=100.0)
    assert float(free.code[0, 0].exp()) == pytest.approx(0.32, abs=0.05)
    assert free.loss[1] < 0.3 * free.loss[0]
    assert abs(float(held.code[0, 0]) + 2) < 0.1 < abs(float(free.code[0, 0]) + 2)
    assert torch.equal(free.code, fit_code(start, ball, CAMERA, DISK, 60, leash=0.0).code)


@pytest.mark.parametrize("flat", [False, True])
def test_a_ray_is_one_pixel_and_passes_the_origin(flat):
    camera = orbit(30.0, 20.0)
    if flat:
        camera = Orthographic(camera.rotation, camera.translation, torch.ones(1) * 1.5)
    rays = ray_points(camera, 6, depths=5).view(36, 5, 3)
    seen = camera.project(rays.reshape(1, -1, 3))[0, :, :2].view(36, 5, 2)
    wanted = pixel_centers(6, 6).reshape(36, 1, 2).expand(-1, 5, -1)
    assert torch.allclose(seen, wanted, atol=1e-4)
    assert float(rays.norm(dim=-1).min()) < 0.2


def test_a_camera_is_found_for_a_shape(chair):
    true = orbit(52.0, 18.0)
    mask = silhouette_of(chair.meshes[0], true, 48)
    found = best_orbit(chair.meshes[0], mask)
    drawn = silhouette_of(chair.meshes[0], found, 48)
    assert float((drawn * mask).sum() / torch.maximum(drawn, mask).sum()) > 0.75
    assert abs(float(view_angles(found)[0]) - 52) < 15
    moved = framed(orbit(0, 0), chair.meshes[0].verts, DISK)
    places = moved.project(chair.meshes[0].verts[None])[0, :, :2]
    middle = (places.amin(0) + places.amax(0)) / 2
    assert torch.allclose(middle, torch.zeros(2), atol=1e-3)


def test_nonsense_is_refused(chair):
    with pytest.raises(InputError, match="empty"):
        best_orbit(chair.meshes[0], torch.zeros(1, 16, 16))
    with pytest.raises(InputError, match="steps"):
        fit_code(torch.zeros(1, 2), ball, CAMERA, DISK, 0)


@pytest.mark.parametrize("name", ["tars", "lem"])
def test_systems_fit_their_code(name, chair):
    system = svr.load(name, {"tars": "chair", "lem": "object"}[name]).eval()
    few = {"cells": 16} if name == "tars" else {}
    given = (chair["image"][0], chair["mask"][0])
    before = {key: value.clone() for key, value in system.state_dict().items()}
    plain, none = system.reconstruct(*given, **few), system.reconstruct(*given, steps=0, **few)
    fitted = system.reconstruct(*given, steps=4, **few)
    assert plain.fit is None and torch.equal(plain.mesh.verts, none.mesh.verts)
    assert fitted.fit.steps == 4 and fitted.fit.loss[1] < fitted.fit.loss[0]
    assert fitted.camera is not None and "guess" in fitted.limits
    assert all(torch.equal(value, before[key]) for key, value in system.state_dict().items())
    assert all(p.grad is None for p in system.parameters())
    with pytest.raises(InputError, match="steps"):
        system.reconstruct(*given, steps=-1, **few)


def test_lem_needs_a_silhouette_to_fit_to(chair):
    system = svr.load("lem", "object").eval()
    with pytest.raises(InputError, match="silhouette"):
        system.reconstruct(chair["image"][0], steps=2)
