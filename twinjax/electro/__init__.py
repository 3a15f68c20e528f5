"""Electrical propagation: tissue of cells on a grid of voxels, and the loop that runs it."""

from twinjax.electro._grid import VoxelGrid, slab
from twinjax.electro._propagate import Propagation, Stimulus, longest_step, propagate
from twinjax.electro._stencil import Stencil
from twinjax.electro._tissue import MASSES, Conduction, Tissue

__all__ = [
    "MASSES",
    "Conduction",
    "Propagation",
    "Stencil",
    "Stimulus",
    "Tissue",
    "VoxelGrid",
    "longest_step",
    "propagate",
    "slab",
]
