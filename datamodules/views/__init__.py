"""Views: changes to a sample that every benchmark and every module can be seen through.

A view is applied in the data-loading workers before any image is opened, so a view that drops an image also
saves reading it, and a view that changes an image wraps it in another lazy one. Regions stay in the sample
unless a view says that it removes them. A view that asks another question with a known truth (`Mirrored`,
`SwappedOrder`, `Paraphrased`, `ShuffledRegions`) raises `NotApplicable` where there is none.
"""

from datamodules.views.boxes import BoxesInText
from datamodules.views.depth_views import DroppedDepth, NoisyDepth, NoisyDepthImage
from datamodules.views.image_views import Blind, DepthAsImage, DepthImage, GrayImage, Grayscale, NoDepth
from datamodules.views.marks import Marked, MarkedImage
from datamodules.views.mirrored import Mirrored, MirroredDepthImage, MirroredImage
from datamodules.views.multiple_choice import AsMultipleChoice
from datamodules.views.other_pictures import OtherPicture, PlainGray, PlainGrayImage
from datamodules.views.paraphrased import Paraphrased
from datamodules.views.rotated_choices import RotatedChoices
from datamodules.views.shuffled_regions import ShuffledRegions
from datamodules.views.spoilt_images import (
    Blurred,
    BlurredImage,
    Compressed,
    CompressedImage,
    DarkImage,
    LowLight,
    NoisyImage,
    NoisyImages,
)
from datamodules.views.swapped_order import SwappedOrder
from datamodules.views.view import DerivedImage, NotApplicable, View

__all__ = [
    "AsMultipleChoice",
    "Blind",
    "Blurred",
    "BlurredImage",
    "BoxesInText",
    "Compressed",
    "CompressedImage",
    "DarkImage",
    "DepthAsImage",
    "DepthImage",
    "DerivedImage",
    "DroppedDepth",
    "GrayImage",
    "Grayscale",
    "LowLight",
    "Marked",
    "MarkedImage",
    "Mirrored",
    "MirroredDepthImage",
    "MirroredImage",
    "NoDepth",
    "NoisyDepth",
    "NoisyDepthImage",
    "NoisyImage",
    "NoisyImages",
    "NotApplicable",
    "OtherPicture",
    "Paraphrased",
    "PlainGray",
    "PlainGrayImage",
    "RotatedChoices",
    "ShuffledRegions",
    "SwappedOrder",
    "View",
]
