"""The shape of a TinyGiant network, and which shapes there cannot be."""

from __future__ import annotations

from dataclasses import dataclass

from datamodules.samples import SmallSpatialError
from lightning_modules.tiny_giant.backbones import STRIDES
from lightning_modules.tiny_giant.camera_height import Scale
from lightning_modules.tiny_giant.floor_image import DepthEncoding
from lightning_modules.tiny_giant.geometry import ON_FLOOR, Geometry

LARGEST_STRIDE = max(STRIDES)

AT_LEAST_ONE = (
    "image_size",
    "geometry_size",
    "visual_width",
    "global_grid",
    "width",
    "heads",
    "top_k",
    "expert_hidden",
    "decoder_hidden",
    "relation_width",
    "vocabulary_size",
    "maximum_words",
    "maximum_regions",
)
"""The numbers of a network's shape that nothing can be made with below 1."""


class ShapeError(SmallSpatialError):
    """The numbers of a network's shape do not fit together."""


@dataclass
class TinyGiantConfig:
    """The shape of a TinyGiant; the defaults make the small one of the quick start.

    Args:
        rgb_backbone: timm name of the RGB backbone, or None for none.
        depth_backbone: timm name of the depth backbone, or None for none.
        depth_encoding: what the depth backbone sees: raw depth, or beside it (floor) places over the floor.
        pretrained: first weights of the RGB backbone: none, hub, package, or the path of a file.
        pretrained_depth: likewise for the depth backbone.
        image_size: width and height of the images that the backbones see, multiples of 32.
        geometry_size: width and height at which regions are measured, or None for that of the images.
        visual_width: channels of a backbone's feature map.
        global_grid: rows and columns of the global tokens of an image.
        width: size of a token.
        heads: attention heads.
        fusion_layers: number of fusion layers.
        experts: experts in each fusion layer, 0 for dense fusion.
        top_k: experts a token passes through.
        expert_hidden: inner size of an expert, or of the dense network.
        decoder_layers: number of decoder layers.
        decoder_hidden: inner size of the decoder's feed-forward networks.
        geometry: numbers that describe regions: none, mask (in the image), floor_fit (and on the floor),
            containment (and which stand inside which others).
        relations: whether numbers that describe pairs of regions are used.
        relation_width: size of embedded relations.
        scale: what turns camera heights into metres: a ruler among the regions, the camera's height as the
            question's regions have it (regions), or as they and the whole picture have it (picture).
        focus: whether regions are chosen and pairs measured by those that were written last, too.
        count_head: whether digits are written by how near they are to a sum over regions; needs focus.
        picture_counts: whether that sum may be over what the picture shows, too; needs count_head.
        field_of_view: assumed horizontal field of view, in degrees.
        vocabulary_size: rows of the word table.
        maximum_words: longest question or answer, in tokens.
        maximum_regions: most regions in one question.
        dropout: share of each sub-layer's output that is dropped in training.

    Raises:
        ShapeError: a number is out of range, or two do not fit together.
    """

    rgb_backbone: str | None = "lcnet_050"
    depth_backbone: str | None = "lcnet_050"
    depth_encoding: DepthEncoding = "raw"
    pretrained: str = "none"
    pretrained_depth: str = "none"
    image_size: tuple[int, int] = (96, 64)
    geometry_size: tuple[int, int] | None = (224, 128)
    visual_width: int = 64
    global_grid: tuple[int, int] = (2, 3)
    width: int = 96
    heads: int = 4
    fusion_layers: int = 2
    experts: int = 4
    top_k: int = 2
    expert_hidden: int = 192
    decoder_layers: int = 2
    decoder_hidden: int = 192
    geometry: Geometry = "floor_fit"
    relations: bool = True
    relation_width: int = 32
    scale: Scale = "ruler"
    focus: bool = False
    count_head: bool = False
    picture_counts: bool = False
    field_of_view: float = 70.0
    vocabulary_size: int = 1024
    maximum_words: int = 256
    maximum_regions: int = 32
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Raise `ShapeError` where the numbers do not fit together, before anything is made of them."""
        for name in AT_LEAST_ONE:
            value = getattr(self, name)
            numbers = value if isinstance(value, list | tuple) else () if value is None else (value,)
            if any(number < 1 for number in numbers):
                raise ShapeError(f"network.{name} is {value}; give whole numbers from 1 on.")
        if any(edge % LARGEST_STRIDE for edge in self.image_size):
            raise ShapeError(
                f"network.image_size is {self.image_size}; width and height must be multiples of "
                f"{LARGEST_STRIDE}, since the backbones halve an image five times."
            )
        for name in ("fusion_layers", "experts", "decoder_layers"):
            if getattr(self, name) < 0:
                raise ShapeError(f"network.{name} is {getattr(self, name)}; give 0 or a number above it.")
        if self.width % self.heads:
            raise ShapeError(
                f"network.heads is {self.heads}, which does not divide network.width, {self.width}: each "
                f"head takes an equal share. Take {_dividing(self.width, self.heads)} heads, for example."
            )
        if self.experts and self.top_k > self.experts:
            raise ShapeError(
                f"network.top_k is {self.top_k}, but there are only {self.experts} experts "
                "(network.experts) for a token to pass through."
            )
        if self.rgb_backbone is None and self.depth_backbone is None:
            if self.geometry == "none":
                raise ShapeError("The network would see nothing: give it a backbone, or geometry.")
            if self.scale == "picture":
                raise ShapeError("network.scale is picture, but there is no backbone to see one with.")
            if self.picture_counts and self.geometry != "containment":
                raise ShapeError(
                    "network.picture_counts needs a backbone to see the picture with, or what hides regions: "
                    "set geometry to containment."
                )
        if self.scale != "ruler" and not (self.relations and self.geometry in ON_FLOOR):
            raise ShapeError(
                f"network.scale is {self.scale}, and nothing is measured on the floor that it could turn "
                f"into metres: set relations to true and geometry to one of {', '.join(ON_FLOOR)}."
            )
        if self.focus and not self.relations:
            raise ShapeError("network.focus looks at the relations of regions: set relations to true.")
        if self.count_head and not self.focus:
            raise ShapeError("network.count_head counts what is in the region in focus: set focus to true.")
        if self.picture_counts and not self.count_head:
            raise ShapeError("network.picture_counts is for the counting head: set count_head to true.")
        if not 0 <= self.dropout < 1:
            raise ShapeError(f"network.dropout is {self.dropout}; it must be at least 0 and below 1.")
        if not 0 < self.field_of_view < 180:
            raise ShapeError(
                f"network.field_of_view is {self.field_of_view} degrees; it must be above 0 and below 180."
            )


def _dividing(width: int, heads: int) -> int:
    """The number of heads nearest to a wanted one that divides a width."""
    return min((count for count in range(1, width + 1) if width % count == 0), key=lambda n: abs(n - heads))
