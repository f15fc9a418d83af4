"""Materials and light: the colour of every point that a ray meets."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from datamodules.rendered.meshes import Material
from datamodules.rendered.raycast import RayCaster, Surface
from datamodules.rendered.scene import Kind, Scene
from datamodules.rendered.textures import CLOUDS, MOTTLES, look_up

JOINT_SPACING_M = 4.6
JOINT_WIDTH_M = 0.03
LINE_WIDTH_M = 0.11
GRID_STEP_M = 0.1
LAMP_SIZE_M = np.array([0.6, 0.6, 0.0], dtype=np.float32)

YELLOW = np.array([0.87, 0.71, 0.03], dtype=np.float32) ** 2.2
STRIPE_BLUE = np.array([0.08, 0.29, 0.62], dtype=np.float32) ** 2.2
TAPE = np.array([0.72, 0.66, 0.56], dtype=np.float32) ** 2.2
PAPER = np.array([0.9, 0.9, 0.88], dtype=np.float32) ** 2.2


class Shader:
    """Paints what rays have met in one scene."""

    def __init__(self, scene: Scene, caster: RayCaster) -> None:
        self.scene = scene
        self.caster = caster
        self.boxes = caster.boxes
        random = np.random.default_rng(scene.texture_seed)
        self._shift = random.uniform(0, 50, 2).astype(np.float32)
        self._exposure = float(random.uniform(0.85, 1.15))
        self._tint = np.array(scene.variation.light, dtype=np.float32)
        self._lamp = random.uniform((-5, 1, 7.5), (5, 9, 8.8)).astype(np.float32)
        self._box_tone = random.random((len(self.boxes.centers), 3), dtype=np.float32)
        self._random = random
        self._openness = self._floor_openness()

    def _floor_openness(self) -> np.ndarray:
        """How much of the ceiling every cell of the floor sees, about 0.4..1: darker close to objects."""
        least_x, least_y, most_x, most_y = self.scene.room
        shape = (int((most_y - least_y) / GRID_STEP_M) + 1, int((most_x - least_x) / GRID_STEP_M) + 1)
        covered = np.zeros(shape, dtype=np.float32)
        for thing in self.scene.objects:
            if thing.kind is Kind.BUFFER:
                continue
            crosswise = abs(np.cos(thing.yaw)) > 0.7
            half_x, half_y = (
                (thing.length / 2, thing.width / 2) if crosswise else (thing.width / 2, thing.length / 2)
            )
            first_x, last_x = ((thing.x + side * half_x - least_x) / GRID_STEP_M for side in (-1, 1))
            first_y, last_y = ((thing.y + side * half_y - least_y) / GRID_STEP_M for side in (-1, 1))
            covered[
                max(round(first_y), 0) : max(round(last_y), 0), max(round(first_x), 0) : max(round(last_x), 0)
            ] = min(1.0, 0.45 + 0.4 * thing.height)
        near = ndimage.uniform_filter(ndimage.uniform_filter(covered, 5), 5)
        wide = ndimage.uniform_filter(ndimage.uniform_filter(covered, 13), 13)
        openness: np.ndarray = 1 - np.minimum(0.45 * near + 0.35 * wide, 0.7)
        return openness

    def colours(self, surface: Surface, shape: tuple[int, int] | None = None) -> np.ndarray:
        """Colours of n surface points, `[n, 3]` in linear light.

        Where the points are the pixels of an image of a shape (height, width), the grain of soft shadows is
        smoothed.
        """
        boxes = self.boxes
        picked, points = surface.boxes, surface.points
        cosine, sine = boxes.cosines[picked], boxes.sines[picked]
        axis = surface.faces >> 1
        sign = (surface.faces & 1).astype(np.float32) * 2 - 1
        normals = np.empty_like(points)
        normals[:, 0] = np.where(axis == 0, cosine, np.where(axis == 1, -sine, 0)) * sign
        normals[:, 1] = np.where(axis == 0, sine, np.where(axis == 1, cosine, 0)) * sign
        normals[:, 2] = np.where(axis == 2, sign, 0)

        paint, openness = self._painted(surface)
        # A lamp of some size has soft shadows: every point is lit from another spot of it.
        spots = self._random.random((len(points), 3), dtype=np.float32) - np.float32(0.5)
        lamps = self._lamp + spots * LAMP_SIZE_M
        towards = lamps - points
        falling = np.einsum("ij,ij->i", normals, towards) / np.sqrt(np.einsum("ij,ij->i", towards, towards))
        direct = np.maximum(falling, 0) * self._lit(points, normals, lamps, shape)
        ambient = (0.50 + 0.20 * normals[:, 2]) * openness
        light = (ambient + 0.48 * direct) * self._exposure
        return paint * light[:, None] * self._tint

    def _lit(
        self, points: np.ndarray, normals: np.ndarray, lamps: np.ndarray, shape: tuple[int, int] | None
    ) -> np.ndarray:
        """Share of the lamp that every point sees, `[n]` from 0 to 1."""
        lit = self.caster.lit(points, normals, lamps).astype(np.float32)
        if shape is not None:
            lit = ndimage.uniform_filter(lit.reshape(shape), 3).ravel()
        return lit

    def _painted(self, surface: Surface) -> tuple[np.ndarray, np.ndarray]:
        """The share of light that every point throws back, `[n, 3]`, and its openness `[n]`."""
        boxes, points, picked = self.boxes, surface.points, surface.boxes
        paint = np.take(boxes.colours, picked, axis=0)
        # Close to the floor, upright surfaces are darker.
        openness = np.minimum(0.72 + 0.35 * points[:, 2], 1.0)
        materials = boxes.materials[picked]
        painters = {
            Material.WALL: self._paint_wall,
            Material.CARTON: self._paint_carton,
            Material.WOOD: self._paint_wood,
            Material.HAZARD: self._paint_hazard,
        }
        for material, painter in painters.items():
            where = np.flatnonzero(materials == material)
            if len(where):
                paint[where] = painter(surface.at(where), np.take(paint, where, axis=0))
        floor = np.flatnonzero(materials == Material.CONCRETE)
        paint[floor], openness[floor] = self._paint_floor(surface.at(floor), np.take(paint, floor, axis=0))
        return paint, openness

    def _paint_floor(self, surface: Surface, paint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Concrete with stains, joints and yellow lines; and how much of the ceiling it sees."""
        points = surface.points
        blur_x, blur_y = self._pixel_extents(surface)
        x, y = points[:, 0] + self._shift[0], points[:, 1] + self._shift[1]
        tone = (
            1
            + 0.16 * look_up(CLOUDS, x, y, 24)
            + 0.10 * look_up(CLOUDS, y, x, 9)
            + 0.05 * look_up(MOTTLES, x, y, 60)
        )
        for position, blur in ((x, blur_x), (y, blur_y)):
            offset = np.abs(position % JOINT_SPACING_M - JOINT_SPACING_M / 2)
            covered = np.clip(
                (JOINT_WIDTH_M / 2 - offset) / blur + 0.5, 0, np.minimum(JOINT_WIDTH_M / blur, 1)
            )
            tone *= 1 - 0.6 * covered
        paint = paint * tone[:, None]
        yellow = self._yellow_share(points, blur_x, blur_y)
        lines = np.flatnonzero(yellow)
        worn = YELLOW * (0.92 + 0.06 * look_up(MOTTLES, x[lines], y[lines], 40))[:, None]
        paint[lines] += yellow[lines, None] * (worn - paint[lines])
        columns = ((points[:, 0] - self.scene.room[0]) / GRID_STEP_M).astype(np.int32)
        rows = ((points[:, 1] - self.scene.room[1]) / GRID_STEP_M).astype(np.int32)
        height, width = self._openness.shape
        return paint, self._openness[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]

    def _pixel_extents(self, surface: Surface) -> tuple[np.ndarray, np.ndarray]:
        """How far one pixel reaches over the floor in x and in y around n floor points, each `[n]` metres.

        Towards the horizon a pixel reaches much farther along the line of sight than across it.
        """
        camera = self.scene.camera
        x, y = surface.points[:, 0], surface.points[:, 1]
        away = np.sqrt(x * x + y * y) + np.float32(1e-3)
        stretch = np.sqrt(away * away + np.float32(camera.height_m**2)) / np.float32(camera.height_m)
        pixel = surface.depths / np.float32(camera.focal_px)
        ahead, sideways = np.abs(y) / away, np.abs(x) / away
        return pixel * (sideways * stretch + ahead), pixel * (ahead * stretch + sideways)

    def _yellow_share(self, points: np.ndarray, blur_x: np.ndarray, blur_y: np.ndarray) -> np.ndarray:
        """Share of yellow paint around floor points, `[n]`: around buffer regions, and a line at the walls.

        A line that is thinner than a pixel would break into dashes if it were only there or not.
        """
        least_x, least_y, most_x, most_y = self.scene.room
        outlines = [bounds for _, bounds in self.scene.floor_regions()]
        outlines.append((least_x + 0.5, least_y + 0.5, most_x - 0.5, most_y - 0.5))
        x, y = points[:, 0], points[:, 1]
        share = np.zeros(len(points), dtype=np.float32)
        for left, near, right, far in outlines:
            # Signed distances into the rectangle; the middle of a side is at most half the rectangle away.
            inner_x = np.float32((right - left) / 2) - np.abs(x - np.float32((left + right) / 2))
            inner_y = np.float32((far - near) / 2) - np.abs(y - np.float32((near + far) / 2))
            outside, inside = (
                np.clip((inner_x - edge) / blur_x + 0.5, 0, 1)
                * np.clip((inner_y - edge) / blur_y + 0.5, 0, 1)
                for edge in (np.float32(0), np.float32(LINE_WIDTH_M))
            )
            share += outside - inside
        return np.minimum(share, 1)

    def _on_face(self, surface: Surface) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Position on the face in metres from its middle, and half the extents of the face, each `[n]`.

        The second position is the upward one on upright faces.
        """
        boxes, picked = self.boxes, surface.boxes
        offset = surface.points - np.take(boxes.centers, picked, axis=0)
        cosine, sine = boxes.cosines[picked], boxes.sines[picked]
        along = offset[:, 0] * cosine + offset[:, 1] * sine
        across = offset[:, 1] * cosine - offset[:, 0] * sine
        axis = surface.faces >> 1
        halves = np.take(boxes.halves, picked, axis=0)
        first = np.where(axis == 0, across, along)
        second = np.where(axis == 2, across, offset[:, 2])
        half_first = np.where(axis == 0, halves[:, 1], halves[:, 0])
        half_second = np.where(axis == 2, halves[:, 1], halves[:, 2])
        return first, second, half_first, half_second

    def _paint_carton(self, surface: Surface, paint: np.ndarray) -> np.ndarray:
        """Cardboard with darker edges, a strip of tape, a label and some print."""
        first, second, half_first, half_second = self._on_face(surface)
        tone = np.take(self._box_tone, surface.boxes, axis=0)
        edge = np.minimum(half_first - np.abs(first), half_second - np.abs(second))
        shade = (0.9 + 0.2 * tone[:, 0]) * (1 + 0.05 * look_up(MOTTLES, first + tone[:, 1] * 9, second, 50))
        paint = paint * np.where(edge < 0.012, 0.62 * shade, shade)[:, None]
        top = surface.faces == 5
        on_tape = np.abs(np.where(half_first >= half_second, second, first)) < 0.028
        # On the sides the tape only hangs down a little from the top edge.
        on_tape = (top & on_tape) | (~top & (np.abs(first) < 0.028) & (half_second - second < 0.07))
        paint[on_tape] = 0.5 * paint[on_tape] + 0.5 * TAPE
        label_x, label_y = (tone[:, 1] - 0.5) * half_first, (tone[:, 2] - 0.3) * half_second
        has_label = (np.minimum(half_first, half_second) > 0.12) & (
            (surface.faces + (tone[:, 2] * 6).astype(np.int32)) % 3 == 0
        )
        on_label = has_label & (np.abs(first - label_x) < 0.06) & (np.abs(second - label_y) < 0.04)
        paint[on_label] = PAPER
        has_print = (np.minimum(half_first, half_second) > 0.12) & (tone[:, 0] > 0.4) & ~top
        print_y = second + 0.45 * half_second
        on_print = has_print & (np.abs(print_y) < 0.045) & (np.abs(first) < 0.5 * half_first)
        on_print &= look_up(MOTTLES, first * 2 + tone[:, 1] * 7, print_y, 60) > 0.35
        paint[on_print] *= 0.3
        return paint

    def _paint_wood(self, surface: Surface, paint: np.ndarray) -> np.ndarray:
        """Planks with dark gaps and grain."""
        first, second, _, _ = self._on_face(surface)
        tone = np.take(self._box_tone, surface.boxes, axis=0)
        plank = (first + 10) % 0.14
        grain = 1 + 0.10 * look_up(MOTTLES, first * 0.2 + tone[:, 1] * 9, second, 40)
        return paint * (np.where(plank < 0.02, 0.45, 1.0).astype(np.float32) * grain)[:, None]

    def _paint_wall(self, surface: Surface, paint: np.ndarray) -> np.ndarray:
        """White sheet metal with ribs above a blue stripe, plaster below."""
        first, _, _, _ = self._on_face(surface)
        height = surface.points[:, 2]
        rib = np.where((height > 1.95) & ((first + 40) % 0.35 < 0.05), 0.82, 1.0).astype(np.float32)
        paint = paint * (rib * (1 + 0.03 * look_up(CLOUDS, first, height, 40)))[:, None]
        paint[(height > 1.5) & (height < 1.9)] = STRIPE_BLUE
        paint[height < 0.22] *= 0.35
        return paint

    def _paint_hazard(self, surface: Surface, paint: np.ndarray) -> np.ndarray:
        """Black and yellow slanted stripes."""
        first, second, _, _ = self._on_face(surface)
        return paint * np.where((first + second + 10) % 0.36 < 0.18, 0.06, 1.0).astype(np.float32)[:, None]
