"""How exactly a camera's roll and field of view are read from one depth image of 8 bits.

Varied rendered scenes, whose cameras are known: errors of the estimates, against those of taking every camera
for level with 70 degrees. Depth is measured as rendered, which is exact but for its rounding, and with noise.
Results go to `runs/bench/camera_estimates.json`.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from benchmarks.measuring import write_result
from datamodules.rendered.camera import HORIZONTAL_FIELD_OF_VIEW_DEG
from datamodules.rendered.warehouse import draw_warehouse
from lightning_modules.tiny_giant.camera_estimates import estimate_field_of_view, fit_rolled_floor

NOISES = (0.0, 1.0, 3.0)
"""Standard deviations of the noise, in steps of the depth image."""


def errors_of(depths: list[np.ndarray], truths: np.ndarray, noise: float) -> dict[str, Any]:
    """Errors of all estimates.

    Args:
        depths: depths of every scene, `[height, width]` metres.
        truths: roll and field of view of every scene, `[scenes, 2]` degrees.
        noise: its standard deviation, in steps of the depth image.
    """
    generator = np.random.default_rng(0)
    found = np.full((len(depths), 4), np.nan)
    began = time.perf_counter()
    for place, depth in enumerate(depths):
        scaled = (depth - depth.min()) / np.ptp(depth) * 255
        noisy = scaled + generator.normal(0, noise, depth.shape) if noise else scaled
        image = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        floor = fit_rolled_floor(image)
        if floor is not None:
            found[place, :2] = floor.roll_deg, floor.roll_error_deg
            seen = estimate_field_of_view(image, floor)
            if seen is not None:
                found[place, 2:] = seen.degrees, seen.error_deg
    seconds = (time.perf_counter() - began) / len(depths)
    result: dict[str, Any] = {"noise_steps": noise, "seconds_an_image": seconds}
    for name, column in (("roll", 0), ("field_of_view", 1)):
        there = ~np.isnan(found[:, 2 * column])
        errors = np.abs(found[there, 2 * column] - truths[there, column])
        result[name] = {
            "median_deg": float(np.median(errors)),
            "percentile_90_deg": float(np.percentile(errors, 90)),
            "median_in_standard_errors": float(np.median(errors / found[there, 2 * column + 1])),
            "without_estimate": int((~there).sum()),
        }
    return result


def main() -> None:
    """Measure and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--width", type=int, default=480)
    parser.add_argument("--height", type=int, default=270)
    options = parser.parse_args()
    size = (options.width, options.height)
    renderings = [
        draw_warehouse("varied", "val" if index % 2 else "train", index, size, 0)[0]
        for index in range(options.scenes)
    ]
    cameras = [rendering.scene.camera for rendering in renderings]
    truths = np.array([(camera.roll_deg, camera.field_of_view_deg) for camera in cameras])
    measured = [errors_of([rendering.depths for rendering in renderings], truths, noise) for noise in NOISES]
    assumed = np.median(np.abs(truths - (0, HORIZONTAL_FIELD_OF_VIEW_DEG)), axis=0)
    ours = [measured[0][name]["median_deg"] for name in ("roll", "field_of_view")]
    result = {
        "ours": ours[1],
        "other": float(assumed[1]),
        "ratio": float(assumed[1]) / ours[1],
        "spread": [float(assumed[1]) / measured[place]["field_of_view"]["median_deg"] for place in (-1, 0)],
        "unit": "degrees",
        "what": f"median error of the field of view in {options.scenes} varied scenes of {size[0]} x "
        f"{size[1]} pixels, against taking it for 70 degrees; the spread is from the noisiest to exact depth",
        "roll": {"ours": ours[0], "other": float(assumed[0])},
        "by_noise": measured,
    }
    write_result("camera_estimates", result)


if __name__ == "__main__":
    main()
