"""What rendered images show, in a warehouse and in rooms, against a projection written down here once more.

x goes to the right of a camera without yaw, y ahead of it, z up; depths are along the optical axis.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageColor, ImageDraw, ImageFont

from datamodules.rendered import objects
from datamodules.rendered.camera import HEIGHT_RANGE_M, PITCH_RANGE_DEG, YAW_RANGE_DEG, Camera
from datamodules.rendered.levels import EASY, REAL_HELD_OUT, REAL_TRAIN
from datamodules.rendered.meshes import Box, Material, collect_boxes
from datamodules.rendered.meshes import Placed as PlacedBoxes
from datamodules.rendered.render import Rendering
from datamodules.rendered.rooms.arrow_scene import draw_arrow_room
from datamodules.rendered.rooms.box_marks import with_letters
from datamodules.rendered.rooms.catalogue import KINDS
from datamodules.rendered.rooms.naming import name_of
from datamodules.rendered.rooms.palette import COLOURS
from datamodules.rendered.rooms.room_cast import RoomCaster
from datamodules.rendered.rooms.room_render import RoomRendering
from datamodules.rendered.rooms.room_scene import RoomScene, Thing, draw_room
from datamodules.rendered.rooms.room_sight import look as look_at_room
from datamodules.rendered.rooms.solids import Finish, Placed, Shape, Solid, collect_solids
from datamodules.rendered.scene import Kind, Scene, SceneObject, draw_scene
from datamodules.rendered.sight import look
from datamodules.rendered.textures import CLOUDS, MOTTLES, look_up

SIZE = (128, 96)
AnyRendering = Rendering | RoomRendering


def axes(camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right, down and forward of a camera that is turned to the right by its yaw and then pitched down."""
    yaw, pitch = math.radians(camera.yaw_deg), math.radians(camera.pitch_deg)
    ahead, up = np.array([math.sin(yaw), math.cos(yaw), 0.0]), np.array([0.0, 0.0, 1.0])
    forward = math.cos(pitch) * ahead - math.sin(pitch) * up
    return np.cross(ahead, up), -math.sin(pitch) * ahead - math.cos(pitch) * up, forward


def seen_at(camera: Camera, depths: np.ndarray) -> np.ndarray:
    """The world points of all pixels, `[height, width, 3]` in metres, with 70 degrees from left to right."""
    right, down, forward = axes(camera)
    rows, columns = np.mgrid[0 : camera.height, 0 : camera.width] + 0.5
    focal = camera.width / 2 / math.tan(math.radians(35))
    across, along = (columns - camera.width / 2) / focal, (rows - camera.height / 2) / focal
    rays = forward + across[..., None] * right + along[..., None] * down
    return np.array([0, 0, camera.height_m]) + depths[..., None] * rays


def within(points: np.ndarray, x: float, y: float, yaw: float, size: tuple[float, ...]) -> np.ndarray:
    """How far world points `[n, 3]` lie outside of a turned box on the floor, `[n]` metres."""
    local = (points[:, 0] + 1j * points[:, 1] - complex(x, y)) * np.exp(-1j * yaw)
    return np.maximum.reduce(
        [np.abs(local.real) - size[0] / 2, np.abs(local.imag) - size[1] / 2, points[:, 2] - size[2]]
    )


@pytest.fixture(scope="module")
def warehouses() -> list[Rendering]:
    levels = (EASY, REAL_TRAIN, REAL_HELD_OUT)
    return [
        Rendering(draw_scene(Random(f"warehouse {number}"), levels[number % 3], SIZE)) for number in range(9)
    ]


@pytest.fixture(scope="module")
def rooms() -> list[RoomRendering]:
    return [RoomRendering(draw_room(Random(f"room {number}"), SIZE)) for number in range(12)]


def test_every_pixel_of_the_warehouse_shows_its_object(warehouses: list[Rendering]) -> None:
    for rendering in warehouses:
        scene = rendering.scene
        points = seen_at(scene.camera, rendering.depths)
        for index, thing in enumerate(scene.objects):
            shown = points[rendering.labels == index]
            size = (thing.length, thing.width, thing.height)
            assert not len(shown) or within(shown, thing.x, thing.y, thing.yaw, size).max() < 0.12
        around = points[rendering.labels == -1]
        for thing in scene.objects:
            if thing.kind is Kind.BUFFER:
                size = (thing.length - 0.05, thing.width - 0.05, 0.01)
                assert not (within(around, thing.x, thing.y, 0.0, size) < 0).any()


def test_every_pixel_of_a_room_shows_its_thing(rooms: list[RoomRendering]) -> None:
    for rendering in rooms:
        scene = rendering.scene
        points = seen_at(scene.camera, np.minimum(rendering.depths, 100))
        for index, thing in enumerate(scene.things):
            shown = points[rendering.labels == index]
            assert not len(shown) or within(shown, thing.x, thing.y, thing.yaw, thing.size).max() < 0.06
        if scene.place == "room":
            x, y, z = points[rendering.labels == -1].T
            least_x, least_y, most_x, most_y = scene.bounds
            to_walls = np.minimum.reduce([x - least_x, y - least_y, most_x - x, most_y - y])
            assert (np.minimum(np.abs(to_walls), np.abs(2.7 - z))[z > 0.02] < 0.08).all()
            assert z.min() > -0.02 and (z < 0.02).mean() > 0.1
        for seen in look_at_room(rendering).seen:
            depths = rendering.depths[rendering.labels == seen.index]
            assert (seen.nearest_m, seen.middle_m) == pytest.approx((depths.min(), np.median(depths)))


@given(height=st.floats(*HEIGHT_RANGE_M), pitch=st.floats(*PITCH_RANGE_DEG), yaw=st.floats(*YAW_RANGE_DEG))
def test_the_farthest_floor_lies_in_the_middle_of_the_upper_border(
    height: float, pitch: float, yaw: float
) -> None:
    camera = Camera(height, pitch, yaw, *SIZE)
    point = camera.floor_point(SIZE[0] / 2, 0.0)
    assert camera.farthest_floor_m() == pytest.approx(math.hypot(*point) if point else math.inf)


def test_no_two_scenes_are_seen_or_lit_alike() -> None:
    for draw in (partial(draw_scene, level=EASY, size=SIZE), partial(draw_room, size=SIZE)):
        scenes = [draw(Random(seed)) for seed in range(12)]
        assert len({scene.texture_seed for scene in scenes}) == len({scene.camera for scene in scenes}) == 12
    yaws = [draw_scene(Random(seed), EASY, SIZE).camera.yaw_deg for seed in range(60)]
    assert min(yaws) < -30 and max(yaws) > 30 and abs(np.mean(yaws)) < 12


# --- scenes by hand: two boxes of known colours, left and right of the camera ---


def warehouse(*boxes: tuple[float, float, Box], seed: int = 3, size: tuple[int, int] = SIZE) -> Rendering:
    things = [SceneObject(Kind.SHELF, x, y, 0.0, *box.size[:2], (box,)) for x, y, box in boxes]
    return Rendering(Scene(Camera(4.0, 25.0, 0.0, *size), (-9, -3, 9, 14), tuple(things), seed))


def room(*solids: tuple[float, float, Solid], seed: int = 3, size: tuple[int, int] = SIZE) -> RoomRendering:
    things = [Thing("ball", "", x, y, 0.0, solid.size, (solid,)) for x, y, solid in solids]
    return RoomRendering(
        RoomScene("room", Camera(1.9, 18.0, 0.0, *size), (-3.5, -1, 3.5, 6), tuple(things), (), seed)
    )


def yard(*solids: tuple[float, float, Solid], seed: int = 3, size: tuple[int, int] = SIZE) -> RoomRendering:
    scene = room(*solids, seed=seed, size=size).scene
    return RoomRendering(replace(scene, place="yard", bounds=(-7, -1, 7, 11)))


def box(
    material: Material, colour: tuple[float, float, float], side: float = 2.0
) -> tuple[float, float, Box]:
    return 0.0, 7.0, Box((0, 0, side / 2), (side, side, side), material, colour)


def solid(
    finish: Finish, colour: tuple[float, float, float], side: float = 1.0
) -> tuple[float, float, Solid]:
    return 0.0, 3.5, Solid(Shape.BOX, (0, 0, side / 2), (side, side, side), finish, colour)


MADE: list[tuple[Callable[..., AnyRendering], Callable[..., tuple[float, float, Box | Solid]]]] = [
    *((warehouse, partial(box, material)) for material in (Material.PAINT, Material.WOOD, Material.CARTON)),
    *(
        (place, partial(solid, finish))
        for place in (room, yard)
        for finish in (Finish.MATT, Finish.GLOSSY, Finish.WOOD, Finish.FABRIC, Finish.LEAVES)
    ),
]
PLACES = [MADE[0], MADE[3], MADE[8]]


def colours_of(rendering: AnyRendering) -> list[np.ndarray]:
    """The median colour of every object, `[3]` from 0 to 255, by its own place in the image."""
    image = rendering.colour_image().astype(float)
    return [np.median(image[rendering.labels == index], axis=0) for index in (0, 1)]


@pytest.mark.parametrize(("place", "make"), MADE)
def test_objects_are_seen_in_their_colours_and_on_their_side(
    place: Callable[..., AnyRendering], make: Callable[..., tuple[float, float, Box | Solid]]
) -> None:
    (_, y, red), (_, _, blue) = make((0.7, 0.15, 0.1)), make((0.1, 0.25, 0.7))
    rendering = place((-y / 4, y, red), (y / 4, y, blue))
    columns = [np.nonzero(rendering.labels == index)[1] for index in (0, 1)]
    assert columns[0].max() < SIZE[0] / 2 < columns[1].min()
    left, right = colours_of(rendering)
    assert left[0] > 1.8 * max(left[1:]) and right[2] > 1.8 * right[0]
    image = rendering.colour_image()
    assert image[:, : SIZE[0] // 2, 0].max() > 90 and image[:, SIZE[0] // 2 :, 2].max() > 90


@pytest.mark.parametrize(("place", "make"), PLACES)
def test_colours_are_as_bright_as_they_are_named(
    place: Callable[..., AnyRendering], make: Callable[..., tuple[float, float, Box | Solid]]
) -> None:
    """sRGB is close to a square root of light, so half of it stays about half."""
    (_, y, bright), (_, _, dark) = make((0.7, 0.7, 0.7)), make((0.35, 0.35, 0.35))
    alone = [colours_of(place((-y / 4, y, part), (y / 4, y, part)))[0].mean() for part in (bright, dark)]
    assert alone[1] / alone[0] == pytest.approx(0.35 / 0.7, abs=0.08)


@pytest.mark.parametrize(("place", "make"), PLACES)
@pytest.mark.parametrize("seed", [1, 4, 5])
def test_an_object_throws_a_shadow(
    place: Callable[..., AnyRendering],
    make: Callable[..., tuple[float, float, Box | Solid]],
    seed: int,
) -> None:
    """Beyond its own place and the darker floor close to it, an object takes light and gives none."""
    _, y, tall = make((0.5, 0.5, 0.5), side=2.4 if place is warehouse else 1.2)
    tall = tall._replace(size=(tall.size[0] / 3, tall.size[1] / 3, tall.size[2]))
    empty, full = place(seed=seed), place((0.0, y, tall), seed=seed)
    points = seen_at(full.scene.camera, np.minimum(full.depths, 60))
    away = np.hypot(points[..., 0], points[..., 1] - y)
    # Only the floor: what stands behind the object is shaded as well, but rarely.
    floor = (
        (np.abs(points[..., 2]) < 0.02) & (full.labels < 0) & (away > (1.9 if place is warehouse else 0.8))
    )
    images = [rendering.colour_image().astype(float).mean(axis=2) for rendering in (empty, full)]
    ratio = ndimage_mean(images[1])[floor] / ndimage_mean(images[0])[floor]
    assert (ratio < 0.93).sum() > 10 and (ratio > 1.12).sum() < 0.3 * (ratio < 0.93).sum()


def ndimage_mean(image: np.ndarray) -> np.ndarray:
    """The mean of each pixel and its neighbours: shadows and not noise."""
    padded = np.pad(image, 1, mode="edge")
    return np.mean(
        [padded[i : i + len(image), j : j + image.shape[1]] for i in range(3) for j in range(3)], 0
    )


@pytest.mark.parametrize(("place", "make"), PLACES)
def test_an_image_is_a_smaller_one_of_the_same_scene(
    place: Callable[..., AnyRendering], make: Callable[..., tuple[float, float, Box | Solid]]
) -> None:
    """Edges too: their pixels show what lies around them, in the share that it covers."""
    (_, y, white), (_, _, dark) = make((0.9, 0.9, 0.9)), make((0.05, 0.05, 0.05))
    placed = (-y / 4, y, white), (y / 5, y + 0.2, dark)
    images = [
        place(*placed, size=(SIZE[0] * by, SIZE[1] * by)).colour_image().astype(float).mean(2)
        for by in (1, 4)
    ]
    whole = images[1].reshape(SIZE[1], 4, SIZE[0], 4).mean(axis=(1, 3))
    apart = np.abs(images[0] - whole)
    edges = np.abs(np.diff(whole, axis=1, prepend=0)) > 25
    assert edges.sum() > 20 and np.quantile(apart, 0.98) < 16
    assert apart[edges].mean() < 11


def test_buffer_regions_are_outlined_in_yellow() -> None:
    region = SceneObject(Kind.BUFFER, -1.0, 5.5, 0.0, 5.0, 2.0)
    camera = Camera(4.0, 35.0, 0.0, 320, 240)
    rendering = Rendering(Scene(camera, (-9, -3, 9, 14), (region,), 3))
    points, image = seen_at(camera, rendering.depths), rendering.colour_image().astype(float)
    x, y, z = np.moveaxis(points, -1, 0)
    inner = np.minimum(2.5 - np.abs(x + 1.0), 1.0 - np.abs(y - 5.5))
    yellow = (image[..., 2] < 0.6 * image[..., 0]) & (image[..., 2] < 0.6 * image[..., 1])
    floor = np.abs(z) < 0.01
    assert yellow[floor & (inner > 0.03) & (inner < 0.08)].mean() > 0.9
    assert yellow[floor & (inner > 0.25)].mean() < 0.02
    assert yellow[floor & (inner < -0.15) & (inner > -1)].mean() < 0.02


@pytest.mark.parametrize("layer", [CLOUDS, MOTTLES])
def test_textures_vary_along_both_axes(layer: int) -> None:
    along = np.linspace(0, 9, 400)
    for x, y in ((along, np.full(400, 2.0)), (np.full(400, 2.0), along)):
        assert look_up(layer, x, y, 50).std() > 0.2


# --- the way of parts into the world ---

FLOATS = {name: st.floats(-3, 3) for name in ("turn", "yaw", "x", "y", "part_x", "part_y")}


@settings(max_examples=60)
@given(**FLOATS)
def test_parts_are_turned_with_their_object_and_about_themselves(
    turn: float, yaw: float, x: float, y: float, part_x: float, part_y: float
) -> None:
    """A cone is its tip: `axis=1` puts it at +y of the solid."""
    middle = complex(x, y) + complex(part_x, part_y) * np.exp(1j * yaw)
    expected = {
        (round(corner.real, 2), round(corner.imag, 2))
        for i in (-1, 1)
        for j in (-1, 1)
        for corner in [middle + complex(i * 0.5, j * 0.2) * np.exp(1j * (yaw + turn))]
    }
    size, colour = (1.0, 0.4, 2.0), (0.5, 0.5, 0.5)
    part = Box((part_x, part_y, 1.0), size, Material.PAINT, colour, turn)
    boxes = collect_boxes([PlacedBoxes([part], x, y, yaw, 0)])
    solid = Solid(Shape.BOX, (part_x, part_y, 1.0), size, Finish.MATT, colour, turn)
    solids = collect_solids([Placed([solid], x, y, yaw, 0)])
    for corners in (boxes.vertices(), solids.corners.reshape(-1, 3)):
        away = np.abs((corners[:, 0] + 1j * corners[:, 1])[:, None] - [complex(*point) for point in expected])
        assert away.min(axis=1).max() < 0.02 and away.min(axis=0).max() < 0.02
    lying = solid._replace(shape=Shape.CONE, size=(0.4, 1.0, 0.4), axis=1)
    corners = collect_solids([Placed([lying], x, y, yaw, 0)]).corners.reshape(-1, 3)
    ahead = ((corners[:, 0] + 1j * corners[:, 1] - middle) * np.exp(-1j * (yaw + turn))).imag
    spread = np.hypot(
        (corners[:, 0] + 1j * corners[:, 1] - middle - 1j * ahead * np.exp(1j * (yaw + turn))).real,
        corners[:, 2] - 1,
    )
    assert spread[ahead > 0.49].max() < 0.02 and spread[ahead < -0.49].max() > 0.1


@pytest.mark.parametrize("axis", range(3))
def test_a_lying_cylinder_is_round_about_its_axis(axis: int) -> None:
    size = [0.5, 0.5, 0.5]
    size[axis] = 0.2
    part = Solid(Shape.CYLINDER, (0, 0, 0), (size[0], size[1], size[2]), Finish.MATT, (0, 0, 0), axis=axis)
    corners = collect_solids([Placed([part], 0, 0, 0, 0)]).corners.reshape(-1, 3)
    assert np.abs(corners[:, axis]) == pytest.approx(np.full(len(corners), 0.1))
    radii = np.linalg.norm(np.delete(corners, axis, axis=1), axis=1)
    assert np.minimum(np.abs(radii - 0.25), radii).max() < 1e-3


def test_normals_are_those_of_the_stretched_surface() -> None:
    """Of an ellipsoid: the gradient of (x/a)^2 + (y/b)^2 + (z/c)^2, at its corners and where rays meet it."""
    half = np.array([1.0, 0.5, 0.3])
    part = Solid(Shape.SPHERE, (0, 0, 0), (2.0, 1.0, 0.6), Finish.MATT, (0, 0, 0))
    solids = collect_solids([Placed([part], 0, 0, 0, 0)])
    directions = np.array([[x, 3.0, z] for x in np.linspace(-0.7, 0.7, 9) for z in (-0.2, 0.1)], np.float32)
    hits = RoomCaster(solids).cast(np.array([0, -3, 0], np.float32), directions)
    for points, normals in (
        (solids.corners.reshape(-1, 3), solids.normals.reshape(-1, 3)),
        (hits.points, hits.normals),
    ):
        gradient = points / half**2
        cosines = np.einsum("ij,ij->i", gradient, normals)
        cosines /= np.linalg.norm(gradient, axis=1) * np.linalg.norm(normals, axis=1)
        assert cosines.min() > 0.99


def test_tapered_solids_are_as_narrow_as_they_say() -> None:
    ratios = {
        Shape.CYLINDER: 1.0,
        Shape.CONE: 0.02,
        Shape.TAPERED: 0.6,
        Shape.FLARED: 1 / 0.7,
        Shape.BOX: 1.0,
        Shape.CABIN: 0.62,
    }
    for shape, ratio in ratios.items():
        part = Solid(shape, (0, 0, 0), (1, 1, 1), Finish.MATT, (0, 0, 0))
        corners = collect_solids([Placed([part], 0, 0, 0, 0)]).corners.reshape(-1, 3)
        upper, lower = (np.abs(corners[corners[:, 2] * side > 0.49, 0]).max() for side in (1, -1))
        assert upper / lower == pytest.approx(ratio, abs=0.01)


# --- what things look like ---


@pytest.mark.parametrize(
    "make",
    [objects.pallet, objects.shelf, objects.transporter, objects.table, objects.crates, objects.pillar],
)
def test_warehouse_objects_stand_on_their_footprint(
    make: Callable[[Random], tuple[list[Box], tuple[float, float]]],
) -> None:
    heights = []
    for seed in range(25):
        parts, (length, width) = make(Random(seed))
        vertices = collect_boxes([PlacedBoxes(parts, 0, 0, 0, 0)]).vertices()
        assert (
            np.abs(vertices[:, 0]).max() < length / 2 + 0.08
            and np.abs(vertices[:, 1]).max() < width / 2 + 0.08
        )
        assert abs(vertices[:, 2].min()) < 0.05
        heights.append(vertices[:, 2].max())
    assert np.median(heights) > (0.5 if make is objects.pallet else 0.25)  # pallets carry a load


def test_clutter_is_nothing_that_is_asked_about() -> None:
    for seed in range(40):
        for thing in draw_scene(Random(seed), REAL_HELD_OUT, SIZE).objects:
            assert thing.kind is not Kind.CLUTTER or min(thing.length, thing.width) < 0.8


def vertices_of(name: str, seed: int) -> np.ndarray:
    kind = KINDS[name]
    parts = kind.make(Random(seed), kind.paint(Random(seed))[1])
    return collect_solids([Placed(parts, 0, 0, 0, 0)]).corners.reshape(-1, 3)


@pytest.mark.parametrize(
    ("name", "low", "high", "reaches"),
    [
        ("person", 0.85, 1.0, "front"),  # the nose
        ("person", 0.0, 0.05, "front"),  # the feet
        ("chair", 0.7, 1.0, "rear"),
        ("sofa", 0.9, 1.0, "rear"),
        ("bed", 0.9, 1.0, "rear"),
        ("bench", 0.8, 1.0, "rear"),
        ("cabinet", 0.2, 0.8, "front"),  # knobs
        ("mailbox", 0.7, 0.83, "front"),  # the slot
        ("fire hydrant", 0.45, 0.55, "front"),
        ("trash bin", 0.75, 0.84, "rear"),
    ],
)
def test_things_show_their_front_where_they_look(name: str, low: float, high: float, reaches: str) -> None:
    """The front is at -y: what sticks out there or at the rear, by shares of the height."""
    for seed in range(6):
        vertices = vertices_of(name, seed)
        z = vertices[:, 2] / vertices[:, 2].max()
        y = vertices[(z >= low) & (z <= high), 1]
        assert (y.min() + y.max() < -0.005) == (reaches == "front")


@pytest.mark.parametrize("name", ["television", "bookshelf"])
def test_a_screen_and_books_are_seen_from_the_front(name: str) -> None:
    """Rays from in front of and behind a thing meet other colours."""
    for seed in range(4):
        parts = KINDS[name].make(Random(seed), (0.5, 0.5, 0.5))
        caster = RoomCaster(collect_solids([Placed(parts, 0, 0, 0, 0)]))
        top = vertices_of(name, seed)[:, 2].max()
        met = []
        for side in (-1, 1):
            grid = [[x, -side * 4.0, 0.0] for x in np.linspace(-0.3, 0.3, 7) for _ in range(9)]
            heights = np.tile(np.linspace(0.15, 0.9, 9) * top, 7)
            solids = np.concatenate(
                [
                    caster.cast(
                        np.array([ray[0], side * 4.0, z], np.float32), np.array([[0, -side, 0]], np.float32)
                    ).solids
                    for ray, z in zip(grid, heights, strict=True)
                ]
            )
            met.append({parts[number].colour for number in solids if number >= 0})
        front, rear = met
        if name == "television":
            assert (0.12, 0.16, 0.20) in front and (0.12, 0.16, 0.20) not in rear
        else:
            assert len(front) > 3 * len(rear)


@pytest.mark.parametrize("name", KINDS)
def test_a_thing_is_made_and_painted_as_it_is_called(name: str) -> None:
    """The hue is that of the web colour of this name, as far as a person would call it so."""
    kind = KINDS[name]
    assert kind.make.__name__ == name.replace(" ", "_")
    for seed in range(12):
        called, paint = kind.paint(Random(seed))
        if not called:
            continue
        assert np.array(paint) == pytest.approx(np.array(COLOURS[called]), rel=0.1)
        hue, saturation, value = colorsys.rgb_to_hsv(*paint)
        web = colorsys.rgb_to_hsv(*(part / 255 for part in ImageColor.getrgb(called)))
        if web[1] < 0.1:
            assert saturation < 0.15 and value == pytest.approx(
                {"black": 0.1, "gray": 0.5, "white": 0.9}[called], abs=0.12
            )
        else:
            assert abs((hue - web[0] + 0.5) % 1 - 0.5) < 0.09 and saturation > 0.3


def test_a_traffic_cone_is_narrow_above_and_a_ball_is_round() -> None:
    for seed in range(4):
        widths = {}
        for name in ("traffic cone", "ball", "tree"):
            vertices = vertices_of(name, seed)
            z = vertices[:, 2] / vertices[:, 2].max()
            widths[name] = [
                np.abs(vertices[(z >= low) & (z <= low + 0.2), 0]).max(initial=0.0) for low in (0.0, 0.4, 0.8)
            ]
        assert widths["traffic cone"][2] < 0.1 * widths["traffic cone"][0] and widths["traffic cone"][1] == 0
        assert widths["ball"][0] == pytest.approx(widths["ball"][2], rel=0.3) and widths["ball"][1] > 0.2


# --- rooms as they are drawn ---


def test_things_face_the_camera_hide_little_and_have_names_of_their_own() -> None:
    for seed in range(60):
        scene = draw_room(Random(seed), SIZE)
        names = [name for thing in scene.things if (name := name_of(scene, thing)) is not None]
        assert len(set(names)) == len(names)
        boxes = []
        for thing in scene.things:
            if KINDS[thing.kind].blank_rear:
                towards = -np.array([thing.x, thing.y]) / math.hypot(thing.x, thing.y)
                assert towards @ thing.front > math.cos(0.76)
            image = scene.camera.project(thing.corners())[:, :2]
            boxes.append((*image.min(axis=0), *image.max(axis=0)))
        for number, first in enumerate(boxes):
            for second in boxes[:number]:
                wide = min(first[2], second[2]) - max(first[0], second[0])
                tall = min(first[3], second[3]) - max(first[1], second[1])
                areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (first, second)]
                assert max(wide, 0) * max(tall, 0) <= 0.301 * min(areas)


@pytest.mark.parametrize("seed", range(3))
def test_arrows_in_the_image_point_where_their_thing_heads(seed: int) -> None:
    """What the arrows turn yellow, put back on the floor: a long shape, wide at its front."""
    scene = draw_arrow_room(Random(seed), (256, 192))
    images = [RoomRendering(each).colour_image().astype(float) for each in (scene, replace(scene, decor=()))]
    yellow = images[0][..., 2] < 0.75 * images[0][..., :2].min(axis=2)
    painted = yellow & (np.abs(images[0] - images[1]).max(axis=2) > 30)
    right, down, forward = axes(scene.camera)
    rows, columns = np.nonzero(painted)
    focal = 128 / math.tan(math.radians(35))
    rays = (
        forward
        + ((columns + 0.5 - 128) / focal)[:, None] * right
        + ((rows + 0.5 - 96) / focal)[:, None] * down
    )
    floor = rays[:, :2] * (-scene.camera.height_m / rays[:, 2:])
    for index, heading in scene.heading.items():
        thing = scene.things[index]
        offset = (floor[:, 0] - thing.x + 1j * (floor[:, 1] - thing.y)) / complex(*heading)
        start = max(thing.half_extents)
        along, across = offset.real - start - 0.05, np.abs(offset.imag)
        arrow = (along > -0.1) & (along < 0.9) & (across < 0.3)
        assert arrow.sum() > 15
        assert np.ptp(along[arrow]) == pytest.approx(0.8, abs=0.17)
        assert across[arrow & (along < 0.4)].max() < 0.14 < across[arrow & (along > 0.4)].max()
        assert across[arrow & (along > 0.66)].mean() < across[arrow & (np.abs(along - 0.52) < 0.1)].mean()


def test_letters_in_the_image_are_in_the_order_of_their_boxes() -> None:
    """Each square is compared with every letter."""
    image = np.full((192, 256, 3), 90, np.uint8)
    boxes = [(150, 100, 190, 130), (20, 60, 60, 90), (200, 60, 240, 90), (80, 40, 120, 80)]
    marked = with_letters(image, boxes)
    side = 17
    glyphs = []
    for letter in "ABCD":
        glyph = Image.new("L", (side, side), 255)
        ImageDraw.Draw(glyph).text((side / 2, side / 2), letter, 0, ImageFont.load_default(side), anchor="mm")
        glyphs.append(np.asarray(glyph).astype(float)[2:-2, 2:-2])
    for number, (left, top, right, _) in enumerate(boxes):
        middle = (left + right) // 2
        square = marked[top - side : top, middle - side // 2 : middle - side // 2 + side].mean(axis=2)[
            2:-2, 2:-2
        ]
        apart = [
            min(
                np.abs(np.roll(square, (i, j), (0, 1)) - glyph).mean() for i in (-1, 0, 1) for j in (-1, 0, 1)
            )
            for glyph in glyphs
        ]
        assert int(np.argmin(apart)) == number


def test_hidden_shelves_are_asked_about_sooner_than_hidden_pallets() -> None:
    """One can look through a shelf: 15 % of its outline are enough, where a pallet shows 30 %."""
    for kind, size, wanted in ((Kind.SHELF, 2.4, 0.15), (Kind.PALLET, 1.2, 0.3)):
        part = Box((0, 0, 0.75), (size, 1.0, 1.5), Material.PAINT, (0.5, 0.5, 0.5))
        thing = SceneObject(kind, 0.0, 8.0, 0.0, size, 1.0, (part,))
        rendering = Rendering(Scene(Camera(4.0, 25.0, 0.0, 256, 192), (-9, -3, 9, 14), (thing,), 3))
        rows, columns = np.nonzero(rendering.labels == 0)
        for share, seen in ((wanted - 0.05, False), (wanted + 0.05, True)):
            labels = np.full_like(rendering.labels, -1)
            kept = slice(None, round(share * len(rows)))
            labels[rows[kept], columns[kept]] = 0
            assert bool(look(rendering.scene, labels).seen) is seen
