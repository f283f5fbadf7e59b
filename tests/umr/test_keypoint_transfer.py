"""Keypoints carried by camera and by flow: planted answers, the loop as oracle, pairs, scores and
reference levels.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from svr_nb.cameras.projections import Orthographic, Pinhole, WeakPerspective, orbit
from svr_nb.cameras.rotations import random_rotation
from svr_nb.conventions import InputError, pixel_centers, rand, seeded
from svr_nb.data.sample_items import samples
from svr_nb.render.hard_mesh import render_mesh
from svr_nb.render.soft_mesh import soft_rasterize, visible_faces
from svr_nb.shapes.mesh import box, icosphere
from svr_nb.shapes.uv import symmetric_sphere
from svr_nb.umr import keypoint_transfer as K
from svr_nb.umr.texture_cycle import flow_centers, flow_on_faces, lattice_weights

BALL = symmetric_sphere(2).mesh


def weak(count: int, seed: int) -> WeakPerspective:
    g = seeded(seed)
    return WeakPerspective(
        0.4 + 0.3 * rand(count, generator=g),
        0.2 * rand(count, 2, generator=g),
        rand(count, 4, generator=g) - 0.5,
    )


def cameras_of_each_kind(count: int = 3) -> list:
    turn, shift = (
        random_rotation(seeded(4), count),
        torch.tensor([[0.05, -0.02, 3.0]]).repeat(count, 1),
    )
    return [
        weak(count, 1),
        Orthographic(turn, shift, torch.full((count,), 0.6)),
        Pinhole(turn, shift, torch.full((count,), 1.5), torch.zeros(count, 2)),
    ]


# boxes
# ---------------------------------------------------------------------------------------------------------------
def test_box_sides_by_hand():
    mask = torch.zeros(3, 1, 20, 20)
    mask[0, 0, 3:5, 2:12], mask[1, 0, 4:19, 7:9], mask[2, 0, 19, 0] = 1, 1, 1
    assert K.box_sides(mask).tolist() == pytest.approx([1.0, 1.5, 0.1])
    assert K.box_sides(torch.zeros(1, 1, 8, 8)).item() == 2


def test_padded_side_is_the_factor_of_the_released_code():
    error = 0.08
    assert error / K.padded_side() == pytest.approx(error * (1 + 2 * 0.05) / 2)
    with pytest.raises(InputError, match="padding"):
        K.padded_side(-1)


# through the camera
# --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", range(3))
def test_camera_transfer_of_a_vertex_is_that_vertex(kind: int):
    camera = cameras_of_each_kind()[kind]
    source, target, chosen = camera[[0, 1]], camera[[2, 0]], torch.tensor([[3, 70], [11, 5]])
    here, there = (c.project(BALL.verts[None])[..., :2] for c in (source, target))
    keypoints = here.gather(1, chosen[..., None].expand(-1, -1, 2))
    found = K.transfer_by_camera(BALL.verts, source, target, keypoints)
    assert torch.equal(found.via, chosen) and torch.allclose(
        found.confidence, torch.ones(2, 2), atol=1e-5
    )
    assert torch.allclose(
        found.place, there.gather(1, chosen[..., None].expand(-1, -1, 2)), atol=1e-5
    )


def test_camera_transfer_equals_the_loop():
    source, target, keypoints = (
        weak(4, 1),
        weak(4, 2),
        0.8 * rand(4, 3, 2, generator=seeded(3)) - 0.4,
    )
    found = K.transfer_by_camera(BALL.verts, source, target, keypoints)
    for i in range(4):
        here, there = (c[i].project(BALL.verts[None])[0, :, :2] for c in (source, target))
        for k in range(3):
            gaps = [float((p - keypoints[i, k]).norm()) for p in here]
            best = gaps.index(min(gaps))
            assert torch.allclose(found.place[i, k], there[best], atol=1e-5)
            assert float(found.confidence[i, k]) == pytest.approx(
                torch.exp(torch.tensor(-(min(gaps) ** 2) / (2 * K.SIGMA**2))).item(), abs=1e-5
            )


def test_batch_equals_slices_and_shapes_may_differ():
    source, target, keypoints = weak(3, 1), weak(3, 2), rand(3, 2, 2, generator=seeded(3)) - 0.5
    own = BALL.verts * (0.8 + 0.4 * rand(3, 162, 1, generator=seeded(4)))
    whole = K.transfer_by_camera(
        own, source, target, keypoints, target_verts=own.flip(0), faces=BALL.faces
    )
    for i in range(3):
        part = K.transfer_by_camera(
            own[i : i + 1],
            source[i],
            target[i],
            keypoints[i : i + 1],
            target_verts=own.flip(0)[i : i + 1],
            faces=BALL.faces,
        )
        assert torch.allclose(part.place[0], whole.place[i], atol=1e-6) and torch.equal(
            part.via[0], whole.via[i]
        )


def test_only_visible_vertices_are_chosen():
    """A ball seen from the front: with faces given, every choice lies on the near half."""
    camera = WeakPerspective(
        torch.tensor([0.6]), torch.zeros(1, 2), torch.tensor([[1.0, 0.4, 0.3, 0.2]])
    )
    keypoints = 0.8 * rand(1, 40, 2, generator=seeded(1)) - 0.4
    near = K.transfer_by_camera(BALL.verts, camera, camera, keypoints, faces=BALL.faces)
    free = K.transfer_by_camera(BALL.verts, camera, camera, keypoints)
    depth = camera.project(BALL.verts[None])[0, :, 2]
    assert float(depth[near.via].max()) < 5.1 and float(depth[free.via].max()) > 5.3


def test_visible_vertices_and_faces_agree_with_the_rasteriser():
    cube = box(0.8)
    uvz = orbit(0.0, 0.0).project(cube.verts[None])
    seen = K.visible_faces_of(uvz, cube.faces, 64, True)
    assert int(seen.sum()) == 2 and int(K.visible_verts(seen, cube.faces, 8).sum()) == 4
    uvz = weak(2, 5).project(BALL.verts.expand(2, -1, -1))
    drawn = soft_rasterize(uvz, BALL.faces, 64, perspective=False)
    assert torch.equal(K.visible_faces_of(uvz, BALL.faces, 64), visible_faces(drawn))
    nothing = K.visible_faces_of(uvz + 9, BALL.faces)
    assert not bool(K.visible_verts(nothing, BALL.faces, len(BALL.verts)).any())


def test_nothing_visible_falls_back_to_all():
    keypoints, seen = torch.zeros(1, 1, 2), torch.tensor([[[0.5, 0.0], [0.1, 0.0]]])
    assert K.nearest_vertices(seen, keypoints, torch.zeros(1, 2, dtype=torch.bool))[0].item() == 1
    via, gap = K.nearest_vertices(seen, keypoints, torch.tensor([[True, False]]))
    assert via.item() == 0 and gap.item() == pytest.approx(0.5)


# snapping
# ------------------------------------------------------------------------------------------------------------
def test_snap_moves_to_the_nearest_pixel_of_the_mask():
    mask = torch.zeros(3, 1, 8, 8)
    mask[0, 0, 2, 3], mask[1, 0, 2:6, 2:6] = 1, 1
    place = torch.tensor([[[0.9, 0.9]], [[0.9, 0.1]], [[0.3, -0.7]]])
    found = K.Transfer(place, torch.zeros(3, 1, dtype=torch.long), torch.ones(3, 1)).snapped(mask)
    grid = pixel_centers(8, 8)
    assert torch.allclose(found.place[0, 0], grid[2, 3]) and torch.allclose(
        found.place[1, 0], grid[4, 5]
    )
    assert torch.equal(found.place[2], place[2])  # an empty mask moves nothing
    many = K.Transfer(
        place.repeat(50, 1, 1), torch.zeros(150, 1, dtype=torch.long), torch.ones(150, 1)
    ).snapped(mask.repeat(50, 1, 1, 1))
    assert torch.equal(many.place, found.place.repeat(50, 1, 1))


# through the flow
# ----------------------------------------------------------------------------------------------------
def test_exact_face_flow_is_the_projected_lattice():
    camera = weak(2, 6)
    flow = K.exact_face_flow(BALL.verts.expand(2, -1, -1), BALL.faces, camera, 4)
    point = (lattice_weights(4)[1, 2] @ BALL.verts[BALL.faces[17]])[None, None].expand(2, -1, -1)
    assert flow.shape == (2, 320, 4, 4, 2) and torch.allclose(
        flow[:, 17, 1, 2], camera.project(point)[:, 0, :2], atol=1e-6
    )


def test_flow_transfer_of_a_face_centre_is_that_face():
    source = (
        2 * rand(2, 30, 1, 1, 2, generator=seeded(1))
        - 1
        + 0.02 * rand(2, 30, 3, 3, 2, generator=seeded(2))
    )
    target, chosen = (
        2 * rand(2, 30, 3, 3, 2, generator=seeded(3)) - 1,
        torch.tensor([[4, 9], [0, 29]]),
    )
    keypoints = flow_centers(source).gather(1, chosen[..., None].expand(-1, -1, 2))
    found = K.transfer_by_flow(source, target, keypoints)
    assert torch.equal(found.via, chosen) and bool((found.confidence > 0.8).all())
    assert torch.allclose(
        found.place, flow_centers(target).gather(1, chosen[..., None].expand(-1, -1, 2))
    )


@pytest.mark.parametrize("which", ["inside", "all"])
def test_heat_equals_a_blurred_picture_read_by_the_flow(which: str):
    """The reference way: a Gaussian picture of 256 pixels, sampled bilinearly."""
    flow = 0.3 * (2 * rand(1, 40, 4, 4, 2, generator=seeded(5)) - 1)
    keypoint = torch.tensor([[[0.1, -0.05]]])
    picture = torch.exp(
        -(pixel_centers(256, 256) - keypoint[0, 0]).square().sum(-1) / (2 * K.SIGMA**2)
    )[None, None]
    read = torch.nn.functional.grid_sample(
        picture, flow.flatten(1, 2), align_corners=False
    ).unflatten(2, (40, 4))[0, 0]
    inside = (
        torch.ones(4, 4, dtype=torch.bool)
        if which == "all"
        else torch.arange(4)[:, None] + torch.arange(4) < 4
    )
    means = read[:, inside].mean(1)
    face, heat = K.hottest_faces(flow, keypoint, which=which)
    assert int(face) == int(means.argmax()) and float(heat) == pytest.approx(
        float(means.max()), abs=0.01
    )


def test_far_keypoints_still_find_the_nearest_face():
    flow = torch.stack([torch.full((3, 3, 2), -0.5), torch.full((3, 3, 2), 0.5)])[None]
    face, heat = K.hottest_faces(flow, torch.tensor([[[0.99, 0.99], [-0.99, -0.99]]]))
    assert face.tolist() == [[1, 0]] and bool((heat < 1e-6).all())


def test_hidden_faces_can_be_left_out():
    flow = torch.stack([torch.full((3, 3, 2), 0.0), torch.full((3, 3, 2), 0.1)])[None]
    at = torch.zeros(1, 1, 2)
    assert (
        K.hottest_faces(flow, at)[0].item() == 0
        and K.hottest_faces(flow, at, visible=torch.tensor([[False, True]]))[0].item() == 1
    )


def test_copied_half_makes_left_and_right_equally_hot():
    ball = symmetric_sphere(2)
    flow = flow_on_faces(0.1 * rand(1, 2, 16, 32, generator=seeded(3)), ball, 3)
    click = flow_centers(flow)[:, ball.half_faces : ball.half_faces + 1]
    one, other = (
        K.hottest_faces(flow, click, visible=torch.arange(320)[None] == j)[1]
        for j in (ball.own_faces, ball.half_faces)
    )
    assert float(one) == pytest.approx(float(other), abs=1e-6)


# pairs and scores
# ----------------------------------------------------------------------------------------------------
def test_pairs_are_seeded_different_and_go_both_ways():
    pairs = K.sample_pairs(7, 500, seed=3)
    assert (
        pairs.shape == (1000, 2)
        and bool((pairs[:, 0] != pairs[:, 1]).all())
        and sorted(set(pairs.flatten().tolist())) == list(range(7))
    )
    assert torch.equal(pairs[:500], pairs[500:].flip(1)) and torch.equal(
        pairs, K.sample_pairs(7, 500, seed=3)
    )
    assert (
        not torch.equal(pairs, K.sample_pairs(7, 500, seed=4)) and len(K.sample_pairs(2)) == 20_000
    )
    with pytest.raises(InputError, match="images"):
        K.sample_pairs(1)


def planted() -> tuple[K.Keypoints, torch.Tensor]:
    """Three photographs, two keypoints; the second is hidden in the last photograph."""
    visible = torch.tensor([[True, True], [True, True], [True, False]])
    truth = K.Keypoints(torch.zeros(3, 2, 2), visible, torch.tensor([1.0, 1.0, 2.0]), ("a", "b"))
    return truth, torch.tensor([[0, 1], [1, 2], [2, 0]])


def test_score_by_hand():
    truth, pairs = planted()
    place = torch.tensor([[[0.05, 0], [0.2, 0]], [[0.15, 0], [0.0, 0]], [[0.3, 0], [0.0, 0]]])
    found = K.Transfer(
        place,
        torch.zeros(3, 2, dtype=torch.long),
        torch.tensor([[0.9, 0.8], [0.7, 0.6], [0.5, 0.4]]),
    )
    score = K.score_transfer(found, truth, pairs)
    assert (
        score.per_keypoint.tolist() == pytest.approx([2 / 3, 0])
        and score.pck == pytest.approx(1 / 3)
        and score.count == 4
    )
    assert score.error == pytest.approx((0.05 + 0.2 + 0.075 + 0.3) / 4)
    assert score.apk == pytest.approx(
        (1 / 1 + 2 / 3) / 4
    )  # hits at rank 1 and 3, four transfers can be found
    assert K.score_transfer(found, truth, pairs, alpha=0.35).pck == 1


def test_keypoint_that_is_never_seen_twice_does_not_count():
    truth, pairs = planted()
    truth = replace(truth, visible=torch.tensor([[True, True], [True, False], [True, False]]))
    score = K.score_transfer(
        K.Transfer(torch.zeros(3, 2, 2), torch.zeros(3, 2, dtype=torch.long), torch.ones(3, 2)),
        truth,
        pairs,
    )
    assert score.pck == 1 and score.per_keypoint[0] == 1 and bool(score.per_keypoint[1].isnan())
    hidden = replace(truth, visible=torch.zeros(3, 2, dtype=torch.bool))
    with pytest.raises(InputError, match="visible"):
        K.score_transfer(
            K.Transfer(torch.zeros(3, 2, 2), torch.zeros(3, 2, dtype=torch.long), torch.ones(3, 2)),
            hidden,
            pairs,
        )


@pytest.fixture(scope="module")
def birds():
    return samples(
        "bird",
        "test",
        40,
        size=48,
        seed=5,
        points=0,
        meshes=True,
        projection="orthographic",
        elevation=(-10, 40),
    )


def test_scores_of_pairs_equal_transfers_one_by_one(birds):
    truth, cameras, template = (
        K.keypoints_of(birds),
        birds.camera(torch.arange(40)),
        K.mean_mesh(birds.meshes),
    )
    flow = K.exact_face_flow(torch.stack([b.verts for b in birds.meshes]), template.faces, cameras)
    pairs = K.sample_pairs(40, 50)
    a, b = pairs.unbind(1)
    scores = K.transfer_scores(
        truth,
        pairs,
        verts=template.verts,
        cameras=cameras,
        faces=template.faces,
        face_flow=flow,
        snap=birds["mask"],
    )
    plain = K.transfer_by_camera(template.verts, cameras[a], cameras[b], truth.place[a])
    found = {
        "camera": plain,
        "camera vis": K.transfer_by_camera(
            template.verts, cameras[a], cameras[b], truth.place[a], faces=template.faces
        ),
        "camera snap": K.transfer_by_camera(
            template.verts, cameras[a], cameras[b], truth.place[a], snap=birds["mask"][b]
        ),
        "flow": K.transfer_by_flow(flow[a], flow[b], truth.place[a]),
    }
    assert set(scores) == set(found)
    for name, transfer in found.items():
        one = K.score_transfer(transfer, truth, pairs)
        assert scores[name].pck == pytest.approx(one.pck, abs=1e-6) and scores[
            name
        ].apk == pytest.approx(one.apk, abs=1e-3)


def test_reference_levels_keep_their_order(birds):
    levels = {
        name: score.pck
        for name, score in K.reference_levels(birds, K.sample_pairs(40, 1000)).items()
    }
    assert (
        levels["shuffled camera"] < 0.25 < 0.45 < levels["oracle camera"] < levels["oracle flow"]
        and levels["oracle flow"] > 0.9
    )
    assert (
        abs(levels["flipped camera"] - levels["oracle camera"]) < 0.03
    )  # plain transfer is blind to the flip
    assert (
        levels["flipped camera vis"] < levels["oracle camera vis"] - 0.05
    )  # visible vertices are not


# depth flips
# ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", range(3))
def test_flip_is_a_rotation_and_undoes_itself(kind: int):
    camera = cameras_of_each_kind()[kind]
    twice, once = K.depth_flipped(K.depth_flipped(camera)), K.depth_flipped(camera)
    assert torch.allclose(twice.rotation, camera.rotation, atol=1e-5)
    assert torch.allclose(
        torch.linalg.det(once.rotation), torch.ones(3), atol=1e-5
    ) and not torch.allclose(once.rotation, camera.rotation, atol=0.1)


def test_flip_keeps_the_silhouette_of_a_symmetric_shape():
    egg = replace(
        icosphere(2),
        verts=icosphere(2).verts * torch.tensor([0.3, 0.5, 0.4]) + torch.tensor([0, 0.1, 0.2]),
    )
    camera = weak(1, 8)
    masks = [render_mesh(egg, c, 64)["mask"] for c in (camera, K.depth_flipped(camera))]
    assert float((masks[0] - masks[1]).abs().mean()) < 1e-3
    lopsided = replace(egg, verts=egg.verts * (1 + egg.verts[:, :1].clamp(min=0)))
    assert (
        float(
            (
                render_mesh(lopsided, camera, 64)["mask"]
                - render_mesh(lopsided, K.depth_flipped(camera), 64)["mask"]
            )
            .abs()
            .mean()
        )
        > 2e-3
    )


# refusals
# ------------------------------------------------------------------------------------------------------------
NAN = torch.full((1, 1, 2), float("nan"))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (
            lambda: K.transfer_by_camera(BALL.verts, weak(2, 1), weak(3, 1), torch.zeros(2, 1, 2)),
            "target",
        ),
        (
            lambda: K.transfer_by_camera(BALL.verts, weak(2, 1), weak(2, 1), torch.zeros(1, 1, 2)),
            "keypoints",
        ),
        (lambda: K.transfer_by_camera(BALL.verts, weak(1, 1), weak(1, 1), NAN), "keypoints"),
        (
            lambda: K.transfer_by_camera(
                BALL.verts[:, :2], weak(1, 1), weak(1, 1), torch.zeros(1, 1, 2)
            ),
            "verts",
        ),
        (
            lambda: K.transfer_by_camera(
                BALL.verts,
                weak(1, 1),
                weak(1, 1),
                torch.zeros(1, 1, 2),
                snap=torch.zeros(2, 1, 4, 4),
            ),
            "mask",
        ),
        (
            lambda: K.transfer_by_flow(
                torch.zeros(1, 4, 3, 3, 2), torch.zeros(1, 5, 3, 3, 2), torch.zeros(1, 1, 2)
            ),
            "target_flow",
        ),
        (
            lambda: K.hottest_faces(torch.zeros(1, 4, 3, 3, 2), torch.zeros(1, 1, 2), which="some"),
            "which",
        ),
        (
            lambda: K.hottest_faces(torch.zeros(1, 4, 3, 3, 2), torch.zeros(1, 1, 2), sigma=0.0),
            "sigma",
        ),
        (lambda: K.mean_mesh([]), "meshes"),
        (lambda: K.mean_mesh([box(), icosphere(1)]), "meshes"),
        (lambda: K.transfer_scores(*planted()), "verts, cameras, face_flow"),
        (lambda: K.box_sides(torch.zeros(4, 4)), "mask"),
    ],
)
def test_refusals_name_the_argument(call, name: str):
    with pytest.raises(InputError, match=f"^{name}"):
        call()
