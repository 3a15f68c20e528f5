"""A run of tissue as a program that stops for good while it writes its fourth checkpoint.

Two regions, of which one recovers soon: there the run has seen repolarisations of one only.
"""

import os
import sys
import time
from pathlib import Path

import jax
import numpy as np

from twinjax.cells import MitchellSchaeffer2003
from twinjax.electro import Stimulus, Tissue, VoxelGrid, run_tissue

OPTIONS = {"duration": 150.0, "every": 25.0, "step": 0.1}
WHOLE = 3


def case():
    """Tissue and its stimuli."""
    tags = np.ones((12, 3), int)
    tags[6:] = 2
    grid = VoxelGrid(tags, 0.4)
    soon = MitchellSchaeffer2003(tau_close=15.0, tau_out=3.0)
    tissue = Tissue(grid, soon, MitchellSchaeffer2003(), mass="blended")
    return tissue, [Stimulus(grid.within((0.0, 0.0), (1.0, 2.0)), -40.0)]


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    path = Path(sys.argv[1])
    replace, moved = os.replace, []

    def stalling(source, target):
        if len(moved) == WHOLE:
            path.with_name("stalled").touch()
            time.sleep(600)
        replace(source, target)
        moved.append(target)

    os.replace = stalling
    tissue, stimuli = case()
    run_tissue(tissue, stimuli, checkpoint=path, **OPTIONS)
