"""The colours of a .glb: factor, picture and vertex colours, however they are put together."""

from __future__ import annotations

import base64
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from svr_nb.conventions import seeded
from svr_nb.shapes.glb import GlbPart, linear_to_srgb, srgb_to_linear
from svr_nb.shapes.mesh import Mesh
from svr_nb.shapes.mesh_files import load_mesh
from svr_nb.shapes.patchwork import joined_parts, shelves, wrapped
from svr_nb.shapes.points import sample_surface, surface_colors

from .glb_files import FLAT, Builder, cube, halves, one, picture, square

RED, GREEN, BLUE = (1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0)
WHITE = picture((255, 255, 255))


@pytest.fixture(autouse=True)
def nothing_said():
    """A test that does not expect a warning must not get one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def read(builder: Builder, tmp_path: Path, **more: Any) -> Mesh:
    return load_mesh(builder.at(tmp_path, **more))


def mean(mesh: Mesh) -> list[float]:
    return sample_surface(mesh, 4000, seeded(0)).colors.mean(0).tolist()


def at(mesh: Mesh, x: float, y: float) -> list[float]:
    """Colour at a place of the plane z = 0, in glTF's frame."""
    places = mesh.verts[mesh.faces].double() * torch.tensor([-1, 1, -1])
    a, b, c = places[:, 0, :2], places[:, 1, :2], places[:, 2, :2]
    edges = torch.stack([b - a, c - a], -1)
    inside = torch.linalg.solve(edges, torch.tensor([x, y]).double() - a)
    weights = torch.cat([1 - inside.sum(1, keepdim=True), inside], 1)
    face = int(weights.amin(1).argmax())
    return surface_colors(mesh, torch.tensor([face]), weights[face : face + 1].float())[0].tolist()


def stored(light: float) -> float:
    return float(linear_to_srgb(torch.tensor(float(light))))


def plain(color: tuple, count: int = 4, alpha: bool = True) -> np.ndarray:
    values = [*color, 1.0] if alpha else list(color)
    return np.tile(np.array([values], np.float32), (count, 1))


def painted(image: Any = None, primitives: Any = None, **options: Any) -> Builder:
    """A square with a picture; options go to the material."""
    builder = Builder()
    number = builder.material(image, **options)
    items = [square()] if primitives is None else primitives
    builder.mesh(*({"material": number} | item for item in items))
    return builder


@pytest.mark.parametrize("factor", [BLUE, (1, 1, 1), (0.2, 0.5, 0.8), (0.5, 0.5, 0.5)])
@pytest.mark.parametrize("color", [None, BLUE, (0.5, 1, 0.25)])
def test_factor_picture_and_vertex_colour_multiply_as_light(factor, color, tmp_path: Path):
    more = {} if color is None else {"COLOR_0": plain(color)}
    grey = (188, 255, 128)
    builder = painted(picture(grey), [square(**more)], baseColorFactor=[*factor, 1])
    light = srgb_to_linear(torch.tensor(grey) / 255) * torch.tensor(factor)
    light = light * torch.tensor(color or (1.0, 1, 1))
    mesh = read(builder, tmp_path)
    assert mean(mesh) == pytest.approx(linear_to_srgb(light).tolist(), abs=0.01)
    assert mesh.texture is not None and mesh.texture.shape == (3, 64, 64)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("alpha", [True, False])
def test_vertex_colours_of_every_kind(dtype, alpha, tmp_path: Path):
    scale = 1 if dtype is np.float32 else np.iinfo(dtype).max
    light = plain((1, 0.5, 0), alpha=alpha)
    given = (light if scale == 1 else np.rint(light * scale)).astype(dtype)
    more = {"normalized": True} if scale != 1 else {}
    item = square(uv=None, COLOR_0=(given, more))
    mesh = read(one(item), tmp_path)
    assert mean(mesh) == pytest.approx([1, stored(0.5), 0], abs=3e-3)


def test_vertex_colours_that_differ_under_a_picture(tmp_path: Path):
    ends = np.array([BLUE, RED, RED, BLUE], np.float32)  # blue at x = 0, red at x = 1
    builder = painted(picture(halves((255, 255, 255), (128, 128, 128))), [square(COLOR_0=ends)])
    mesh = read(builder, tmp_path)
    half = float(srgb_to_linear(torch.tensor(128 / 255)))
    for x in (0.1, 0.3, 0.45, 0.6, 0.9):
        shade = 1 if x < 0.5 else half
        right = [stored(x * shade), 0, stored((1 - x) * shade)]
        assert at(mesh, x, 0.4) == pytest.approx(right, abs=0.03)


def test_one_picture_stays_as_it_is(tmp_path: Path):
    pixels = np.random.default_rng(1).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    builder = painted(picture(pixels), [square(), square(2)])
    mesh = read(builder, tmp_path)
    assert np.array_equal((mesh.texture * 255).round().numpy(), pixels.transpose(2, 0, 1))
    assert len(mesh.verts) == 8 and len(mesh.faces) == 4 and float(mesh.uvs.max()) == 1


def test_several_pictures_keep_every_pixel(tmp_path: Path):
    rng, builder, items, pictures = np.random.default_rng(2), Builder(), [], []
    for number in range(5):
        shape = (int(rng.integers(3, 40)), int(rng.integers(3, 40)), 3)
        pictures.append(rng.integers(0, 256, shape, dtype=np.uint8))
        items.append(square(2 * number) | {"material": builder.material(picture(pictures[-1]))})
    builder.mesh(*items)
    mesh = read(builder, tmp_path)
    for number, pixels in enumerate(pictures):
        high, wide = pixels.shape[:2]
        for row, column in ((0, 0), (high - 1, 0), (high // 2, wide // 2), (high - 1, wide - 1)):
            place = (2 * number + (column + 0.5) / wide, 1 - (row + 0.5) / high)
            assert at(mesh, *place) == pytest.approx((pixels[row, column] / 255).tolist(), abs=0.01)


def test_pieces_with_and_without_pictures_together(tmp_path: Path):
    builder = Builder()
    first = builder.material(picture(halves()))
    green = builder.material(baseColorFactor=[0, stored(0) + 0.5, 0, 1])
    ends = np.array([BLUE, RED, RED, BLUE], np.float32)
    builder.mesh(
        square() | {"material": first},
        square(2, uv=None) | {"material": green},
        square(4, uv=None),
        square(6, uv=None, COLOR_0=ends),
        square(8, COLOR_0=plain(BLUE)) | {"material": first},
    )
    mesh = read(builder, tmp_path)
    assert at(mesh, 0.25, 0.5) == pytest.approx(RED, abs=0.01)
    assert at(mesh, 0.75, 0.5) == pytest.approx(GREEN, abs=0.01)
    assert at(mesh, 2.5, 0.5) == pytest.approx([0, stored(0.5), 0], abs=0.01)
    assert at(mesh, 4.5, 0.5) == pytest.approx([1, 1, 1], abs=0.01)
    assert at(mesh, 6.02, 0.5)[2] > 0.95 and at(mesh, 6.98, 0.5)[0] > 0.95
    assert at(mesh, 8.5, 0.5) == pytest.approx([0, 0, 0], abs=0.01)


WRAPS = {"repeat": 10497, "clamp": 33071, "mirror": 33648}


def seen(pixels: np.ndarray, u: float, v: float, wrap: tuple[str, str]) -> list[float]:
    """The pixel of an endless picture, by the definition of the three ways to go on."""

    def inside(x: float, how: str) -> float:
        if how == "clamp":
            return min(max(x, 0.0), 1 - 1e-9)
        around = x % 2
        return x % 1 if how == "repeat" else (around if around < 1 else 2 - around - 1e-9)

    row = int(inside(v, wrap[1]) * pixels.shape[0])
    column = int(inside(u, wrap[0]) * pixels.shape[1])
    return (pixels[row, column] / 255).tolist()


@pytest.mark.parametrize("low, high", [(-1.3, 2.4), (0.5, 1.5), (-2, -1), (7.25, 8), (0, 3)])
@pytest.mark.parametrize("wrap", [(a, b) for a in WRAPS for b in WRAPS])
def test_coordinates_beyond_the_picture(wrap, low, high, tmp_path: Path):
    pixels = np.random.default_rng(3).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    uv = low + np.array([[0, 1], [1, 1], [1, 0], [0, 0]]) * (high - low)
    sampler = {"wrapS": WRAPS[wrap[0]], "wrapT": WRAPS[wrap[1]]}
    for others in ([], [square(5) | {"material": 1}]):
        builder = painted(picture(pixels), [square(uv=uv), *others], sampler=sampler)
        builder.material(picture((9, 9, 9)))
        mesh = read(builder, tmp_path)
        for column in range(2, 17, 3):  # at the middles of pixels
            u = (np.floor(low * 8) + column + 0.5) / 8
            v = (np.floor(low * 8) + 3.5) / 8
            if u < high and v < high:
                place = ((u - low) / (high - low), 1 - (v - low) / (high - low))
                assert at(mesh, *place) == pytest.approx(seen(pixels, u, v, wrap), abs=0.02)


def test_wrapped_places():
    row = np.arange(-7, 7)
    assert wrapped(row, 3, "repeat").tolist() == [2, 0, 1] * 4 + [2, 0]
    assert wrapped(row, 3, "clamp").tolist() == [0] * 8 + [1, 2, 2, 2, 2, 2]
    assert wrapped(row, 3, "mirror").tolist() == [0, 0, 1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]


TRANSFORMS = [
    {"offset": [0.5, 0], "scale": [0.5, 1]},
    {"rotation": 0.3},
    {"rotation": np.pi / 2, "offset": [0, 1]},
    {"rotation": -0.7, "offset": [0.2, 0.6], "scale": [0.3, 0.5]},
    {"scale": [-1, 1]},
]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
def test_texture_transforms(transform: dict, tmp_path: Path):
    pixels = np.random.default_rng(4).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    info = {"extensions": {"KHR_texture_transform": transform}}
    mesh = read(
        painted(picture(pixels), info=info), tmp_path, extensionsRequired=["KHR_texture_transform"]
    )
    angle, (sx, sy) = transform.get("rotation", 0), transform.get("scale", [1, 1])
    ox, oy = transform.get("offset", [0, 0])
    checked = 0
    for x, y in np.random.default_rng(5).random((60, 2)):
        u, v = sx * x, sy * (1 - y)  # the specification's order: scale, rotate, move
        u, v = (
            np.cos(angle) * u + np.sin(angle) * v + ox,
            -np.sin(angle) * u + np.cos(angle) * v + oy,
        )
        if max(abs(u * 8 % 1 - 0.5), abs(v * 8 % 1 - 0.5)) < 0.12:  # near the middle of a pixel
            right = seen(pixels, u, v, ("repeat", "repeat"))
            assert at(mesh, x, y) == pytest.approx(right, abs=0.27)
            checked += 1
    assert checked > 1


SECOND = np.array([[0.6, 1], [0.9, 1], [0.9, 0], [0.6, 0]], np.float32)


def test_the_second_set_of_coordinates(tmp_path: Path):
    item = square(TEXCOORD_1=SECOND)
    image = picture(halves())
    assert mean(read(painted(image, [item]), tmp_path)) == pytest.approx([0.5, 0.5, 0], abs=0.05)
    other = read(painted(image, [item], info={"texCoord": 1}), tmp_path)
    assert mean(other) == pytest.approx(GREEN, abs=0.01)
    change = {"extensions": {"KHR_texture_transform": {"texCoord": 1}}}
    assert mean(read(painted(image, [item], info=change), tmp_path)) == pytest.approx(
        GREEN, abs=0.01
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_coordinates_as_integers(dtype, tmp_path: Path):
    values = np.rint(np.array([[0.6, 1], [1, 1], [1, 0], [0.6, 0]]) * np.iinfo(dtype).max)
    item = square(uv=None, TEXCOORD_0=(values.astype(dtype), {"normalized": True}))
    assert mean(read(painted(picture(halves()), [item]), tmp_path)) == pytest.approx(
        GREEN, abs=0.01
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_picture_formats_inside_and_as_text(kind: str, tmp_path: Path):
    raw = picture((0, 0, 255), kind)
    uri = f"data:image/{kind.lower()};base64," + base64.b64encode(raw).decode()
    for image in (raw, {"uri": uri}):
        assert mean(read(painted(image), tmp_path)) == pytest.approx(BLUE, abs=0.02)


@pytest.mark.parametrize("fallback", [True, False])
def test_webp_by_its_extension(fallback: bool, tmp_path: Path):
    builder = painted(picture((255, 0, 0)))
    builder.tree["images"].append({"bufferView": builder.view(picture((0, 0, 255), "WEBP"))})
    texture = {"extensions": {"EXT_texture_webp": {"source": 1}}} | (
        {"source": 0} if fallback else {}
    )
    mesh = read(builder, tmp_path, textures=[texture], extensionsUsed=["EXT_texture_webp"])
    assert mean(mesh) == pytest.approx(BLUE, abs=0.02)


def test_grey_palette_and_deep_pictures(tmp_path: Path):
    import io

    for image in (
        Image.new("L", (8, 8), 128),
        Image.new("RGB", (8, 8), (128, 128, 128)).convert("P"),
        Image.new("RGBA", (8, 8), (128, 128, 128, 0)),
        Image.fromarray(np.full((8, 8), 32896, np.uint16)),
    ):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        mesh = read(painted(buffer.getvalue()), tmp_path)
        assert mean(mesh) == pytest.approx([0.5, 0.5, 0.5], abs=0.01)


@pytest.mark.parametrize("turn", range(2, 9))
def test_pictures_are_read_as_stored_whatever_their_exif_says(turn: int, tmp_path: Path):
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:16, :32], pixels[16:, 32:] = (255, 0, 0), (0, 255, 0)
    note = Image.Exif()
    note[0x0112] = turn
    with pytest.warns(UserWarning, match="EXIF orientation"):
        mesh = read(painted(picture(pixels, "JPEG", exif=note, quality=98)), tmp_path)
    assert mesh.texture.shape == (3, 32, 64)
    assert at(mesh, 0.25, 0.75)[0] > 0.9 and at(mesh, 0.75, 0.25)[1] > 0.9


def test_unlit_and_glossy_materials(tmp_path: Path):
    unlit = {"extensions": {"KHR_materials_unlit": {}}}
    assert mean(read(painted(picture((0, 0, 255)), more=unlit), tmp_path)) == pytest.approx(
        BLUE, abs=0.01
    )
    builder = painted(picture((255, 255, 255)))
    glossy = {"diffuseTexture": {"index": 0}, "diffuseFactor": [0, 0, 1, 1]}
    said = [{"extensions": {"KHR_materials_pbrSpecularGlossiness": glossy}}]
    more = {"materials": said, "extensionsRequired": ["KHR_materials_pbrSpecularGlossiness"]}
    assert mean(read(builder, tmp_path, **more)) == pytest.approx(BLUE, abs=0.01)


LOOKS: dict[str, dict] = {
    "alphaMode BLEND": {"alphaMode": "BLEND"},
    "alphaMode MASK": {"alphaMode": "MASK"},
    "a normal map": {"normalTexture": {"index": 0}},
    "an occlusion map": {"occlusionTexture": {"index": 0}},
    "a glow of": {"emissiveFactor": [0, 1, 0]},
    "KHR_materials_clearcoat": {"extensions": {"KHR_materials_clearcoat": {}}},
}


@pytest.mark.parametrize("word", LOOKS)
def test_other_looks_are_named(word: str, tmp_path: Path):
    builder = painted(picture((0, 0, 255)), more={"name": "skin"} | LOOKS[word])
    with pytest.warns(UserWarning, match=f"case.glb: .*{word}.*'skin'"):
        assert mean(read(builder, tmp_path)) == pytest.approx(BLUE, abs=0.01)


def test_a_glow_that_is_all_there_is(tmp_path: Path):
    more = {"emissiveFactor": [1, 1, 1], "emissiveTexture": {"index": 0}}
    with pytest.warns(UserWarning, match="a glow, its only colour"):
        assert mean(read(painted(WHITE, baseColorFactor=[0, 0, 0, 1], more=more), tmp_path)) == [
            0,
            0,
            0,
        ]


def test_double_sides_and_plain_surfaces_need_no_word(tmp_path: Path):
    more = {"doubleSided": True, "alphaMode": "OPAQUE"}
    mesh = read(painted(primitives=[square(uv=None)], more=more, metallicFactor=0.5), tmp_path)
    assert mesh.vert_colors is None and mesh.texture is None


def test_a_picture_that_cannot_be_read_leaves_its_factor(tmp_path: Path):
    builder = painted(b"no picture at all", baseColorFactor=[0, 0, 1, 1])
    with pytest.warns(UserWarning, match="case.glb.*without its texture"):
        mesh = read(builder, tmp_path)
    assert mesh.texture is None and mean(mesh) == pytest.approx(BLUE, abs=0.01)


def test_missing_coordinates_are_named(tmp_path: Path):
    with pytest.warns(UserWarning, match="no TEXCOORD_3"):
        mesh = read(painted(WHITE, info={"texCoord": 3}, baseColorFactor=[0, 1, 0, 1]), tmp_path)
    assert mean(mesh) == pytest.approx(GREEN, abs=0.01)


def test_pieces_of_one_mesh_share_their_vertices_and_others_do_not(tmp_path: Path):
    builder = Builder()
    colors = [builder.material(picture(c)) for c in ((255, 0, 0), (0, 255, 0))]
    box = cube()
    box["attributes"]["TEXCOORD_0"] = box["attributes"]["POSITION"][:, :2]
    builder.mesh(
        box | {"indices": box["indices"][:18], "material": colors[0]},
        box | {"indices": box["indices"][18:], "material": colors[1]},
    )
    builder.scene({"mesh": 0, "children": [1]}, {"mesh": 0, "translation": [1, 0, 0]})
    mesh = read(builder, tmp_path)
    assert len(mesh.verts) == 16 and mesh.is_closed() and mesh.volume() == pytest.approx(2)


def test_a_floor_of_many_tiles_fits_and_says_so(tmp_path: Path):
    uv = np.array([[0, 1], [1, 1], [1, 0], [0, 0]]) * 100
    with pytest.warns(UserWarning, match="case.glb: .*made smaller"):
        mesh = read(painted(picture(halves()), [square(uv=uv)]), tmp_path)
    assert mesh.texture[0].numel() <= 2**24 and mean(mesh) == pytest.approx([0.5, 0.5, 0], abs=0.05)


@pytest.mark.parametrize("far", [1e7, 1e30, np.nan, np.inf])
def test_wild_coordinates_cost_no_memory(far: float, tmp_path: Path):
    uv = np.array([[0, far], [far, far], [far, 0], [0, 0]], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mesh = read(painted(picture((0, 0, 255)), [square(uv=uv)]), tmp_path)
    assert mesh.texture[0].numel() < 2**24 and bool(torch.isfinite(mesh.uvs).all())
    assert mean(mesh) == pytest.approx(BLUE, abs=0.01)


def test_shelves_do_not_overlap():
    sizes = np.random.default_rng(6).integers(1, 50, (200, 2))
    places, (width, height) = shelves(sizes)
    taken = np.zeros((height, width), int)
    for (x, y), (w, h) in zip(places, sizes):
        taken[y : y + h, x : x + w] += 1
    assert taken.max() == 1 and taken.sum() == sizes.prod(1).sum() and taken.mean() > 0.7


def test_a_large_scan_beside_a_picture_keeps_vertex_colours():
    rng = np.random.default_rng(7)
    count = 400_000
    faces = rng.integers(0, count, (1_100_000, 3))
    scan = GlbPart(
        rng.random((count, 3)).astype(np.float32), faces, rng.random((count, 3)).astype(np.float32)
    )
    sign = GlbPart(
        FLAT, np.array([[0, 1, 2]]), uvs=np.zeros((4, 2), np.float32), texture=picture((0, 0, 255))
    )
    with pytest.warns(UserWarning, match="scan.glb: too many faces"):
        mesh = joined_parts([scan, sign], "scan.glb")
    assert mesh.texture is None and mesh.vert_colors[-1].tolist() == pytest.approx(BLUE, abs=1e-4)
