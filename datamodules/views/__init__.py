"""Views: changes to a sample that every benchmark and every module can be seen through.

A view is applied in the data-loading workers before any image is opened, so a view that drops an image
also saves reading it, and a view that changes an image wraps it in another lazy one. Regions stay in the
sample unless a view says that it removes them.
"""

from datamodules.views.boxes import BoxesInText
from datamodules.views.depth_views import DroppedDepth, NoisyDepth, NoisyDepthImage
from datamodules.views.image_views import Blind, DepthAsImage, DepthImage, GrayImage, Grayscale, NoDepth
from datamodules.views.marks import Marked, MarkedImage
from datamodules.views.mirrored import Mirrored, MirroredDepthImage, MirroredImage
from datamodules.views.multiple_choice import AsMultipleChoice
from datamodules.views.rotated_choices import RotatedChoices
from datamodules.views.view import DerivedImage, View

__all__ = [
    "AsMultipleChoice",
    "Blind",
    "BoxesInText",
    "DepthAsImage",
    "DepthImage",
    "DerivedImage",
    "DroppedDepth",
    "GrayImage",
    "Grayscale",
    "Marked",
    "MarkedImage",
    "Mirrored",
    "MirroredDepthImage",
    "MirroredImage",
    "NoDepth",
    "NoisyDepth",
    "NoisyDepthImage",
    "RotatedChoices",
    "View",
]
