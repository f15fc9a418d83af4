"""Finishes and light of rooms and yards: the colour of every point that a ray meets."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
from scipy import ndimage

from datamodules.rendered.rooms.room_cast import Hits, RoomCaster
from datamodules.rendered.rooms.room_scene import RoomScene
from datamodules.rendered.rooms.solids import GROUNDS, Finish
from datamodules.rendered.textures import CLOUDS, MOTTLES, look_up

SKY_LOW = np.array([0.80, 0.86, 0.92], dtype=np.float32) ** 2.2
SKY_HIGH = np.array([0.36, 0.56, 0.86], dtype=np.float32) ** 2.2
LAMP_SIZE_M = {"room": (0.7, 0.7, 0.0), "yard": (1.5, 1.5, 1.5)}
"""Extents of the light source; the larger, the softer the shadows."""


class RoomShader:
    """Paints what rays have met in one room or yard."""

    def __init__(self, scene: RoomScene, caster: RoomCaster) -> None:
        self.scene = scene
        self.caster = caster
        self.solids = caster.solids
        self._random = np.random.default_rng(scene.texture_seed)
        random = Random(scene.texture_seed)
        least_x, _, most_x, most_y = scene.bounds
        if scene.place == "room":
            self._exposure = random.uniform(0.9, 1.2)
            self._lamp = np.array(
                [random.uniform(least_x, most_x) * 0.5, random.uniform(0.5, most_y * 0.7), 2.5], np.float32
            )
            warm = random.uniform(0.9, 1.0)
            self._light = np.array([1.0, (1 + warm) / 2, warm], np.float32) * np.float32(0.55)
            self._ambient = np.array([0.50, 0.50, 0.50], np.float32)
        else:
            self._exposure = random.uniform(0.85, 1.1)
            # The sun stands behind or beside the camera, so that the seen sides are lit.
            self._lamp = np.array(
                [random.uniform(-30, 30), random.uniform(-30, 5), random.uniform(20, 40)], np.float32
            )
            self._light = np.array([0.72, 0.68, 0.60], np.float32)
            self._ambient = np.array([0.40, 0.44, 0.50], np.float32)
        self._tone = self._random.random((len(self.solids.centers), 3), dtype=np.float32)
        self._painters: dict[int, Callable[[Hits, np.ndarray], np.ndarray]] = {
            Finish.WOOD: self._paint_wood,
            Finish.FABRIC: self._paint_fabric,
            Finish.LEAVES: self._paint_leaves,
            Finish.CARTON: self._paint_carton,
            Finish.SEGMENTS: self._paint_segments,
            Finish.BANDED: self._paint_bands,
            Finish.WALLPAPER: self._paint_wall,
            Finish.FENCE: self._paint_fence,
            Finish.PARQUET: self._paint_parquet,
            Finish.TILES: self._paint_tiles,
            Finish.CARPET: self._paint_carpet,
            Finish.GRASS: self._paint_grass,
            Finish.ASPHALT: self._paint_asphalt,
            Finish.PAVING: self._paint_paving,
        }

    def colours(self, hits: Hits, directions: np.ndarray, shape: tuple[int, int] | None = None) -> np.ndarray:
        """Colours `[n, 3]` in linear light of what n rays with these directions `[n, 3]` met.

        Where the rays are the pixels of an image of a shape (height, width), the grain of soft shadows is
        smoothed.
        """
        met = np.flatnonzero(hits.solids >= 0)
        colours = self._sky(directions)
        found = hits.at(met)
        finishes = self.solids.finishes[found.solids]
        paint = self._painted(found, finishes)
        spread = (self._random.random((len(met), 3), dtype=np.float32) - np.float32(0.5)) * np.array(
            LAMP_SIZE_M[self.scene.place], np.float32
        )
        lamps = self._lamp + spread
        towards = lamps - found.points
        towards /= np.sqrt(np.einsum("ij,ij->i", towards, towards))[:, None]
        falling = np.einsum("ij,ij->i", found.normals, towards)
        lit = self.caster.lit(found, lamps).astype(np.float32)
        if shape is not None:
            whole = np.ones(shape[0] * shape[1], np.float32)
            whole[met] = lit
            lit = ndimage.uniform_filter(whole.reshape(shape), 3).ravel()[met]
        direct = np.maximum(falling, 0) * lit
        above = (0.78 + 0.22 * found.normals[:, 2]) * self._openness(found, finishes)
        light = self._ambient * above[:, None] + self._light * direct[:, None]
        glowing = finishes == Finish.GLOWING
        light[glowing] = 1.15
        shone = paint * light
        glossy = np.flatnonzero(finishes == Finish.GLOSSY)
        if len(glossy):
            shone[glossy] += self._gleam(found, directions[met], towards, lit, glossy)
        colours[met] = shone * np.float32(self._exposure)
        return colours

    def _sky(self, directions: np.ndarray) -> np.ndarray:
        """The sky seen along directions, `[n, 3]`."""
        length = np.sqrt(np.einsum("ij,ij->i", directions, directions))
        up = np.clip(directions[:, 2] / length * 3, 0, 1)[:, None]
        return SKY_LOW * (1 - up) + SKY_HIGH * up

    def _gleam(
        self, hits: Hits, directions: np.ndarray, towards: np.ndarray, lit: np.ndarray, where: np.ndarray
    ) -> np.ndarray:
        """Highlights of the lamp on glossy points, `[m, 1]`."""
        view = -directions[where]
        view = view / np.linalg.norm(view, axis=1, keepdims=True)
        half = view + towards[where]
        half /= np.linalg.norm(half, axis=1, keepdims=True)
        shine = np.maximum(np.einsum("ij,ij->i", half, hits.normals[where]), 0) ** 40
        gleam: np.ndarray = (0.5 * shine * lit[where])[:, None]
        return gleam

    def _openness(self, hits: Hits, finishes: np.ndarray) -> np.ndarray:
        """Share of the surrounding light that reaches points, `[n]`: less on the floor close to objects."""
        openness = np.ones(len(hits.points), np.float32)
        ground = np.flatnonzero(np.isin(finishes, GROUNDS))
        x, y = hits.points[ground, 0], hits.points[ground, 1]
        shadow = np.zeros(len(ground), np.float32)
        for thing in (thing for thing in self.scene.things if not thing.z):
            half_x, half_y = thing.half_extents
            away_x = np.maximum(np.abs(x - np.float32(thing.x)) - np.float32(half_x * 0.8), 0)
            away_y = np.maximum(np.abs(y - np.float32(thing.y)) - np.float32(half_y * 0.8), 0)
            shadow += np.exp(-(away_x * away_x + away_y * away_y) / np.float32(0.035))
        openness[ground] = 1 - np.minimum(0.45 * shadow, 0.6)
        return openness

    def _painted(self, hits: Hits, finishes: np.ndarray) -> np.ndarray:
        """The share of light that every point throws back, `[n, 3]`."""
        paint = self.solids.colours[hits.solids]
        for finish in np.unique(finishes).tolist():
            painter = self._painters.get(finish)
            if painter is not None:
                where = np.flatnonzero(finishes == finish)
                paint[where] = painter(hits.at(where), paint[where])
        return paint

    def _local(self, hits: Hits) -> np.ndarray:
        """Points relative to the centre of their solid, along its own axes, `[n, 3]` metres."""
        offset = hits.points - self.solids.centers[hits.solids]
        cosine, sine = self.solids.cosines[hits.solids], self.solids.sines[hits.solids]
        return np.stack(
            [
                offset[:, 0] * cosine + offset[:, 1] * sine,
                offset[:, 1] * cosine - offset[:, 0] * sine,
                offset[:, 2],
            ],
            axis=1,
        )

    def _grain(self, hits: Hits) -> tuple[np.ndarray, np.ndarray]:
        """Positions on a surface `[n]` in metres, shifted so that no two solids look the same."""
        local, shift = self._local(hits), self._tone[hits.solids] * 9
        return local[:, 0] + shift[:, 0], local[:, 1] * 0.7 + local[:, 2] + shift[:, 1]

    def _paint_wood(self, hits: Hits, paint: np.ndarray) -> np.ndarray:
        first, second = self._grain(hits)
        tone = 0.94 + 0.12 * self._tone[hits.solids, 2]
        return paint * (tone + 0.09 * look_up(MOTTLES, first * 0.15, second, 70))[:, None]

    def _paint_fabric(self, hits: Hits, paint: np.ndarray) -> np.ndarray:
        first, second = self._grain(hits)
        return paint * (1 + 0.03 * look_up(MOTTLES, first, second, 90))[:, None]

    def _paint_leaves(self, hits: Hits, paint: np.ndarray) -> np.ndarray:
        first, second = self._grain(hits)
        tone = 0.82 + 0.36 * self._tone[hits.solids, 2] + 0.28 * look_up(MOTTLES, first, second, 45)
        return paint * np.maximum(tone, 0.25)[:, None]

    def _paint_carton(self, hits: Hits, paint: np.ndarray) -> np.ndarray:
        local, halves = self._local(hits), self.solids.halves[hits.solids]
        paint = (np.array([0.72, 0.56, 0.39], np.float32) ** 2.2) * (0.85 + 0.3 * self._tone[hits.solids, :1])
        # Tape along the middle of the top, hanging down a little at both ends.
        on_tape = (np.abs(local[:, 1]) < 0.035) & (halves[:, 2] - local[:, 2] < 0.12)
        paint[on_tape] = np.array([0.80, 0.74, 0.62], np.float32) ** 2.2
        gap = (np.abs(local[:, 1]) < 0.006) & (hits.normals[:, 2] > 0.9)
        paint[gap] *= 0.5
        return paint

    def _paint_segments(self, hits: Hits, paint: np.ndarray) -> np.ndarray:
        local = self._local(hits)
        segment = np.floor(np.arctan2(local[:, 1], local[:, 0]) / (np.pi / 3)).astype(np.int32)
        paint[segment % 2 == 0] = 0.78
        return paint

    def _paint_bands(self, hits: Hits, paint: np.ndarray) -> np.ndarray:
        share = self._local(hits)[:, 2] / self.solids.halves[hits.solids, 2]
        paint[((share > -0.4) & (share < -0.05)) | ((share > 0.2) & (share < 0.5))] = 0.8
        return paint

    def _paint_wall(self, hits: Hits, paint: np.ndarray) -> np.ndarray:
        height = hits.points[:, 2]
        along = hits.points[:, 0] + hits.points[:, 1]
        paint = paint * (1 + 0.025 * look_up(CLOUDS, along, height, 60))[:, None]
        paint[height < 0.1] = 0.7
        return paint

    def _paint_fence(self, hits: Hits, paint: np.ndarray) -> np.ndarray:
        along = hits.points[:, 0] + hits.points[:, 1] + 50
        board = along % 0.18
        tone = 0.9 + 0.2 * look_up(MOTTLES, np.floor(along / 0.18), np.floor(along / 0.18) * 3, 7)
        return paint * (np.where(board < 0.02, 0.4, 1.0) * tone)[:, None].astype(np.float32)

    def _ground(self, hits: Hits) -> tuple[np.ndarray, np.ndarray]:
        """Floor positions `[n]` in metres, shifted from scene to scene and never negative."""
        shift = np.float32(30 + self.scene.texture_seed % 1000 / 50)
        return hits.points[:, 0] + shift, hits.points[:, 1] + shift

    def _paint_parquet(self, hits: Hits, paint: np.ndarray) -> np.ndarray:
        x, y = self._ground(hits)
        row = np.floor(x / 0.16)
        length = y + row * 0.37
        tone = (
            0.94
            + 0.07 * look_up(MOTTLES, row, np.floor(length / 0.9), 13)
            + 0.04 * look_up(MOTTLES, x, y * 0.1, 60)
        )
        joint = (x % 0.16 < 0.008) | (length % 0.9 < 0.008)
        return paint * np.where(joint, 0.7, tone)[:, None].astype(np.float32)

    def _paint_tiles(self, hits: Hits, paint: np.ndarray) -> np.ndarray:
        x, y = self._ground(hits)
        tone = 1 + 0.03 * look_up(MOTTLES, np.floor(x / 0.5), np.floor(y / 0.5), 17)
        joint = (x % 0.5 < 0.02) | (y % 0.5 < 0.02)
        return paint * np.where(joint, 0.72, tone)[:, None].astype(np.float32)

    def _paint_carpet(self, hits: Hits, paint: np.ndarray) -> np.ndarray:
        x, y = self._ground(hits)
        return paint * (1 + 0.06 * look_up(MOTTLES, x, y, 90) + 0.04 * look_up(CLOUDS, x, y, 50))[:, None]

    def _paint_grass(self, hits: Hits, paint: np.ndarray) -> np.ndarray:
        x, y = self._ground(hits)
        tone = 1 + 0.14 * look_up(CLOUDS, x, y, 30) + 0.16 * look_up(MOTTLES, x, y, 60)
        return paint * np.maximum(tone, 0.4)[:, None]

    def _paint_asphalt(self, hits: Hits, paint: np.ndarray) -> np.ndarray:
        x, y = self._ground(hits)
        return paint * (1 + 0.08 * look_up(CLOUDS, x, y, 20) + 0.07 * look_up(MOTTLES, x, y, 80))[:, None]

    def _paint_paving(self, hits: Hits, paint: np.ndarray) -> np.ndarray:
        x, y = self._ground(hits)
        row = np.floor(y / 0.45)
        x = x + row * 0.3
        tone = 1 + 0.06 * look_up(MOTTLES, np.floor(x / 0.6), row, 17)
        joint = (x % 0.6 < 0.025) | (y % 0.45 < 0.025)
        return paint * np.where(joint, 0.65, tone)[:, None].astype(np.float32)
