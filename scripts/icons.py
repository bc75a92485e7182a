#!/usr/bin/env python3
"""Draws the extension's icons: a stack of slices, one of them prompted, its object followed through the others.

In: nothing. Out: two PNG files in slicer-module. numpy draws, the standard library writes; no picture is taken from
anywhere.
"""

import pathlib
import struct
import zlib

import numpy as np

MODULE = pathlib.Path(__file__).resolve().parent.parent / "slicer-module" / "SegmentEditorProMem"

# Points of a pixel that are drawn and averaged, along each side.
FINENESS = 4

PAPER = (38, 54, 84)  # a slice
RIM = (166, 190, 226)
FOUND = (92, 214, 190)  # what was found on the other slices
PROMPT = (240, 150, 40)  # what the user has outlined
PROMPT_RIM = (255, 214, 102)


class Canvas:
    """RGBA from 0 to 1, alpha multiplied in; x and y run from -1 to 1, y downwards."""

    def __init__(self, size: int) -> None:
        self.size = size
        step = np.float32(2) * (np.arange(size * FINENESS, dtype=np.float32) + np.float32(0.5)) / (size * FINENESS) - 1
        self.x, self.y = np.meshgrid(step, step)
        self.pixels = np.zeros((*self.x.shape, 4), np.float32)

    def fill(self, inside: np.ndarray, colour: tuple[int, int, int], opacity: float = 1.0) -> None:
        alpha = (inside * np.float32(opacity))[..., None]
        self.pixels += alpha * (np.array([*(part / 255 for part in colour), 1.0], np.float32) - self.pixels)

    def finished(self) -> np.ndarray:
        """uint8 [row, column, RGBA], alpha not multiplied in."""
        shape = (self.size, FINENESS, self.size, FINENESS, 4)
        mean = self.pixels.reshape(shape).mean(axis=(1, 3))
        colour = mean[..., :3] / np.maximum(mean[..., 3:], 1e-9)
        return np.rint(np.concatenate([colour, mean[..., 3:]], axis=2) * 255).astype(np.uint8)


def on_slice(canvas: Canvas, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the canvas on a slice that is seen from above its corner; the slice goes from -1 to 1."""
    across = canvas.x / 1.06
    along = (canvas.y - height) / 0.54
    return across + along, along - across


def square(u: np.ndarray, v: np.ndarray, half: float, corner: float = 0.22) -> np.ndarray:
    """How far outside a square with round corners."""
    outside_u, outside_v = np.abs(u) - half + corner, np.abs(v) - half + corner
    beyond = np.hypot(np.maximum(outside_u, 0), np.maximum(outside_v, 0))
    return beyond + np.minimum(np.maximum(outside_u, outside_v), 0) - corner


def organ(u: np.ndarray, v: np.ndarray, scale: float) -> np.ndarray:
    """How far outside a shape like an organ on a slice."""
    u, v = u - 0.05, v + 0.03
    angle = np.arctan2(v, u)
    radius = scale * (0.56 + 0.10 * np.cos(angle - 0.6) + 0.07 * np.cos(2 * angle + 0.9) - 0.06 * np.cos(3 * angle))
    return np.hypot(u, v) - radius


def draw(size: int, heights: list[float], prompted: int, line: float) -> np.ndarray:
    """heights: of the slices, the lowest first (y grows downwards). prompted: which of them has the user's outline."""
    canvas = Canvas(size)
    for number, height in enumerate(heights):
        u, v = on_slice(canvas, height)
        card = square(u, v, 0.97)
        # A shadow lifts a slice off the one below.
        shadow = square(*on_slice(canvas, height + 0.09), 0.97)
        canvas.fill((shadow < 0) * (canvas.pixels[..., 3] > 0.5), (8, 12, 22), 0.45)
        canvas.fill(card < 0, PAPER)
        canvas.fill((card < 0) * np.clip(0.5 - 0.25 * (u + v), 0, 1), RIM, 0.22)
        canvas.fill((card < 0) & (card > -line), RIM)
        shape = organ(u, v, 1.0 - 0.13 * abs(number - prompted))
        if number == prompted:
            canvas.fill(shape < 0, PROMPT, 0.72)
            canvas.fill(np.abs(shape) < 0.7 * line, PROMPT_RIM)
        else:
            canvas.fill(shape < 0, FOUND, 0.5)
            canvas.fill(np.abs(shape) < 0.45 * line, FOUND)
    return canvas.finished()


def png(pixels: np.ndarray) -> bytes:
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def main() -> None:
    # In a row of small buttons thicker lines can be told apart.
    pictures = {
        MODULE / "Resources" / "Icons" / "SegmentEditorProMem.png": draw(128, [0.43, 0.0, -0.43], 2, 0.08),
        MODULE / "SegmentEditorProMemLib" / "SegmentEditorEffect.png": draw(256, [0.43, 0.0, -0.43], 2, 0.12),
    }
    for path, pixels in pictures.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(pixels))
        print(f"{path}: {pixels.shape[1]} x {pixels.shape[0]}")


if __name__ == "__main__":
    main()
