"""What does a probe cost beside one bare pass of its network, and what does a second run cost?

    python benchmarks/stages.py [--data elpv] [--size 224]

About a minute on two cores with the 2,624 photos of ELPV. The first run starts with an empty cache;
the second has another seed and name and finds the prepared images and the features.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from _table import print_table


def bare_pass(data: str, size: int) -> tuple[int, float]:
    """Images, and seconds of one pass of EfficientNet-Lite0 over them, pixels in memory."""
    import numpy as np

    import backbones
    from zoo.data.dataset import load
    from zoo.data.prepare import prepare
    from zoo.evaluate.inference import Inference
    from zoo.progress import Progress
    from zoo.settings import Settings

    dataset = load(Settings.of({"backbone": "efficientnet", "data": data}), Progress())
    pixels = np.array(prepare(dataset.catalog, size, "stretch", Progress()).pixels)
    network = Inference(backbones.build("efficientnet", size=size).model)
    network.run(pixels, np.arange(64))  # traced before the clock starts
    started = time.perf_counter()
    network.run(pixels, np.arange(len(pixels)))
    return len(pixels), time.perf_counter() - started


def main() -> None:
    """Two probes and the bare pass between them, in one process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="elpv")
    parser.add_argument("--size", type=int, default=224)
    args = parser.parse_args()
    data, size = args.data, args.size
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZOO_CACHE"] = str(Path(folder, "cache"))
        import zoo

        def probe(name: str) -> dict[str, float]:
            runs = Path(folder, "runs")
            run = zoo.finetune(
                "efficientnet", data, size=size, unfreeze="none", name=name, runs_dir=runs
            )
            seconds: dict[str, float] = run.record["seconds"]
            return seconds

        first = probe("first")
        images, bare = bare_pass(data, size)
        second = probe("second")
    stages = [s for s in first if s != "total"]
    rows = [
        [s, f"{first[s]:.1f}", f"{first[s] / bare:.2f}", f"{second[s]:.1f}"]
        for s in [*stages, "total"]
    ]
    rows.append(["bare pass of the network", f"{bare:.1f}", "1.00", ""])
    print_table(
        f"Probe of {images} images, EfficientNet-Lite0, {size} px",
        ["stage", "first run, s", "bare passes", "second run, s"],
        rows,
    )


if __name__ == "__main__":
    main()
