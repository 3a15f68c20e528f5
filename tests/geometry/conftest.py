"""Meshes that several tests look at."""

import pytest

from twinjax.geometry import fields, find_surfaces, flip_inverted, left_ventricle
from twinjax.io import read_mesh


@pytest.fixture(scope="session")
def ventricle():
    """A left ventricle of 4 mm with six layers through the wall, and its harmonic fields."""
    mesh = left_ventricle(4.0, layers=6)
    return mesh, fields(mesh)


@pytest.fixture(scope="session")
def arostica(shared):
    """The biventricular mesh of Aróstica et al. 2025 with its fibres at nodes, and fields."""
    read = read_mesh(shared("references/arostica2025/biv_coarse_fibers.vtk"), "m")
    mesh = find_surfaces(flip_inverted(read.mesh))
    return mesh, fields(mesh), read.point_data
