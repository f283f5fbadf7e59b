"""Builds glTF files piece by piece for the tests about them, as other programs write them."""

from __future__ import annotations

import base64
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
COMPONENTS = {
    "int8": 5120,
    "uint8": 5121,
    "int16": 5122,
    "uint16": 5123,
    "uint32": 5125,
    "float32": 5126,
}

CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
SIDES = np.array(
    [
        0,
        1,
        3,
        0,
        3,
        2,
        4,
        6,
        7,
        4,
        7,
        5,
        0,
        4,
        5,
        0,
        5,
        1,
        2,
        3,
        7,
        2,
        7,
        6,
        0,
        2,
        6,
        0,
        6,
        4,
        1,
        5,
        7,
        1,
        7,
        3,
    ],
    np.uint16,
)
FLAT = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
UPRIGHT = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)


def square(x: float = 0.0, uv: Any = UPRIGHT, **more: Any) -> dict:
    """A unit square in the plane z = 0 whose picture stands upright: keyword arguments in capitals
    are attributes, others belong to the primitive.
    """
    attributes = {"POSITION": FLAT + np.array([x, 0, 0], np.float32)}
    if uv is not None:
        attributes["TEXCOORD_0"] = np.asarray(uv, np.float32)
    attributes |= {k: v for k, v in more.items() if k.isupper()}
    rest = {k: v for k, v in more.items() if not k.isupper()}
    return {"attributes": attributes, "indices": np.array([0, 1, 2, 0, 2, 3], np.uint16)} | rest


def cube(**more: Any) -> dict:
    """A unit cube, closed, faces outward."""
    return {"attributes": {"POSITION": CORNERS}, "indices": SIDES} | more


def picture(pixels: Any, kind: str = "PNG", **options: Any) -> bytes:
    """A picture file from a plain colour, or from rows of colours (h, w, 3)."""
    if isinstance(pixels, tuple):
        pixels = np.full((64, 64, 3), pixels, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(buffer, kind, **options)
    return buffer.getvalue()


def halves(left: tuple = (255, 0, 0), right: tuple = (0, 255, 0)) -> np.ndarray:
    """64 x 64 pixels: one colour on the left, another on the right."""
    pixels = np.empty((64, 64, 3), np.uint8)
    pixels[:, :32], pixels[:, 32:] = left, right
    return pixels


class Builder:
    """Collects arrays and pictures; `tree` is open for whatever a test wants to say."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.tree: dict[str, Any] = {
            "asset": {"version": "2.0"},
            "bufferViews": [],
            "accessors": [],
        }

    def view(self, raw: bytes, **more: Any) -> int:
        self.data += b"\0" * (-len(self.data) % 4)
        entry = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(raw)}
        self.tree["bufferViews"].append(entry | more)
        self.data += raw
        return len(self.tree["bufferViews"]) - 1

    def array(self, values: np.ndarray, **more: Any) -> int:
        width = values.shape[1] if values.ndim == 2 else 1
        entry = {
            "bufferView": self.view(values.tobytes()),
            "componentType": COMPONENTS[values.dtype.name],
            "count": len(values),
            "type": KINDS[width],
        }
        self.tree["accessors"].append(entry | more)
        return len(self.tree["accessors"]) - 1

    def primitive(self, item: dict) -> dict:
        """An entry whose arrays are replaced by their numbers; a pair (array, {...}) adds to the
        accessor.
        """

        def stored(value: Any) -> Any:
            if isinstance(value, tuple):
                return self.array(value[0], **value[1])
            return self.array(value) if isinstance(value, np.ndarray) else value

        made = item | {"attributes": {k: stored(v) for k, v in item["attributes"].items()}}
        if "indices" in item:
            made["indices"] = stored(item["indices"])
        if "targets" in item:
            made["targets"] = [{k: stored(v) for k, v in t.items()} for t in item["targets"]]
        return made

    def mesh(self, *primitives: dict, **more: Any) -> int:
        made = {"primitives": [self.primitive(p) for p in primitives]} | more
        self.tree.setdefault("meshes", []).append(made)
        return len(self.tree["meshes"]) - 1

    def material(self, image: Any = None, sampler: dict | None = None, **surface: Any) -> int:
        """A material; `image` is a picture's bytes or an entry of "images"; keywords describe the
        base colour, except `info` (of the texture) and `more` (of the material).
        """
        info, more = surface.pop("info", {}), surface.pop("more", {})
        if image is not None:
            entry = (
                image
                if isinstance(image, dict)
                else {"bufferView": self.view(image), "mimeType": "image/png"}
            )
            images = self.tree.setdefault("images", [])
            if entry not in images:
                images.append(entry)
            texture = {"source": images.index(entry)}
            if sampler is not None:
                self.tree.setdefault("samplers", []).append(sampler)
                texture["sampler"] = len(self.tree["samplers"]) - 1
            self.tree.setdefault("textures", []).append(texture)
            surface["baseColorTexture"] = {"index": len(self.tree["textures"]) - 1} | info
        self.tree.setdefault("materials", []).append({"pbrMetallicRoughness": surface} | more)
        return len(self.tree["materials"]) - 1

    def scene(self, *nodes: dict) -> Builder:
        """The nodes, of which the first is the root of the only scene."""
        self.tree |= {"nodes": list(nodes) or [{"mesh": 0}], "scenes": [{"nodes": [0]}], "scene": 0}
        return self

    def glb(self, **more: Any) -> bytes:
        if "nodes" not in self.tree and "nodes" not in more:
            self.scene()
        data = bytes(self.data) + b"\0" * (-len(self.data) % 4)
        whole = self.tree | {"buffers": [{"byteLength": len(data)}]} | more
        text = json.dumps({k: v for k, v in whole.items() if v is not None}).encode()
        text += b" " * (-len(text) % 4)
        head = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(data))
        return (
            head
            + struct.pack("<I4s", len(text), b"JSON")
            + text
            + struct.pack("<I4s", len(data), b"BIN\0")
            + data
        )

    def gltf(self, uri: str | None = None, **more: Any) -> bytes:
        """The text form; the buffer lies in the text unless it is named."""
        if "nodes" not in self.tree:
            self.scene()
        inside = "data:application/octet-stream;base64," + base64.b64encode(self.data).decode()
        buffers = [{"byteLength": len(self.data), "uri": inside if uri is None else uri}]
        return json.dumps(self.tree | {"buffers": buffers} | more).encode()

    def at(self, folder: Path, name: str = "case.glb", **more: Any) -> Path:
        path = folder / name
        path.write_bytes(self.glb(**more))
        return path


def one(*primitives: dict, **more: Any) -> Builder:
    """A builder with one mesh of these primitives."""
    builder = Builder()
    builder.mesh(*primitives, **more)
    return builder
