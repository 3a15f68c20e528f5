"""A dataset of three parameters and a surrogate of it, made once a session."""

import functools
import tempfile
from pathlib import Path

from training.case import parse_case
from training.datasets import make_dataset
from training.train import train_surrogate

CASE = """
[model]
steps_per_beat = 200
samples = 200

[box]
heart_rate = {low = 60, high = 90, unit = "bpm"}
"systemic_arteries.resistance" = {prior = 0.6}
"left_ventricle.unstressed_volume" = {prior = 0.6}

[dataset]
runs = 50
seed = 5
"""


@functools.cache
def folder() -> Path:
    keep = tempfile.TemporaryDirectory(prefix="twinjax-")
    folder.keep = keep  # removed when the interpreter ends
    return Path(keep.name)


@functools.cache
def dataset_path() -> Path:
    path = folder() / "data.h5"
    make_dataset(parse_case(CASE), path)
    return path


@functools.cache
def surrogate_path() -> Path:
    path = folder() / "heart.surrogate"
    train_surrogate(dataset_path(), path, members=3, width=48, steps=800, baselines=False)
    return path
