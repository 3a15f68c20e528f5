"""Fibres by rule: on the ellipsoid by geometry alone, and beside an independent program's."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from tests.geometry._ellipsoid import apart, directions, dot
from twinjax.geometry import FibreRule, Surface, with_fibres

_APEX = 0.3  # the angle from the apex [rad] within which directions are singular: 2 % of the wall


def helix(fibre, around, up):
    return np.rad2deg(np.arctan(dot(fibre, up) / dot(fibre, around)))


@pytest.mark.parametrize("profile", ["linear", "bayer"])
@pytest.mark.parametrize("at", ["cells", "nodes"])
def test_frames_are_orthonormal_and_right_handed(ventricle, arostica, profile, at):
    for mesh, solved, *_ in (ventricle, arostica):
        frames = np.asarray(FibreRule(profile=profile).frames(mesh, at=at, solved=solved))
        assert len(frames) == len(mesh.cells if at == "cells" else mesh.points)
        product = np.einsum("cki,ckj->cij", frames, frames)
        np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-12)
        np.testing.assert_allclose(np.linalg.det(frames), 1, atol=1e-12)


def test_helix_angle_through_the_wall_of_the_ellipsoid(ventricle):
    mesh, solved = ventricle
    frames = np.asarray(FibreRule().frames(mesh, solved=solved))
    _, latitude, around, up, out = directions(mesh.centres())
    wall = latitude > _APEX
    assert np.mean(~wall) < 0.025
    depth = np.asarray(solved.epi)[mesh.cells].mean(axis=1)
    angle = helix(frames[:, :, 0], around, up)
    error = apart(angle, 40 - 90 * depth)[wall]
    assert np.median(error) < 0.2
    assert np.quantile(error, 0.95) < 2.0
    # Unwrapped around the expected line, so that ±90° does not tear the fit.
    line = 40 - 90 * depth
    angle = line + (angle - line + 90) % 180 - 90
    fit = np.polyfit(depth[wall], angle[wall], 2)
    np.testing.assert_allclose(np.polyval(fit, [0, 0.5, 1]), [40, -5, -50], atol=0.2)
    tilt = np.rad2deg(np.arcsin(np.abs(dot(frames[:, :, 0], out))))[wall]
    assert np.median(tilt) < 1.0
    assert np.quantile(tilt, 0.95) < 3.0


@pytest.mark.parametrize("profile", ["linear", "bayer"])
@pytest.mark.parametrize(("surface", "angle"), [(Surface.LV_ENDO, 40.0), (Surface.EPI, -50.0)])
def test_fibres_are_tangent_to_the_surfaces(ventricle, profile, surface, angle):
    mesh, solved = ventricle
    frames = np.asarray(FibreRule(profile=profile).frames(mesh, at="nodes", solved=solved))
    _, latitude, around, up, out = directions(mesh.points)
    chosen = np.zeros(len(mesh.points), bool)
    chosen[mesh.nodes(surface)] = True
    # At the rim of the base the epicardium's nodes belong to the base's plane too.
    chosen &= (latitude > _APEX) & (mesh.points[:, 2] < 19.9)
    found = helix(frames[chosen, :, 0], around[chosen], up[chosen])
    assert np.mean(found) == pytest.approx(angle, abs=0.5)
    error = np.abs(found - angle)  # largest beside the apex
    assert np.quantile(error, 0.98) < 3
    assert np.max(error) < 6
    tilt = np.rad2deg(np.arcsin(np.abs(dot(frames[chosen, :, 0], out[chosen]))))
    assert np.mean(tilt) < 1
    assert np.max(tilt) < 6


def test_the_published_profile_is_that_of_its_formulas(ventricle):
    mesh, solved = ventricle
    frames = np.asarray(FibreRule(profile="bayer").frames(mesh, solved=solved))
    _, latitude, around, up, _ = directions(mesh.centres())
    wall = latitude > _APEX
    depth = np.asarray(solved.epi)[mesh.cells].mean(axis=1)
    grid = np.linspace(0, 1, 201)
    expected = np.interp(depth, grid, [_published(d) for d in grid])
    # Where the profile jumps a cell may be on either side of the jump.
    wall &= np.abs(depth - 0.87) > 0.08
    error = apart(helix(frames[:, :, 0], around, up), expected)[wall]
    assert np.median(error) < 0.3
    assert np.quantile(error, 0.95) < 3.0
    assert _published(0.5) == pytest.approx(17.5)


def _published(depth):
    """The helix angle of Bayer's algorithm in a free wall, by SciPy's rotations."""

    def orient(helix, sheet):
        first = Rotation.from_euler("z", helix, degrees=True)
        return first * Rotation.from_euler("x", -sheet, degrees=True)

    start, end = orient(40, -65), orient(40 - 90 * depth, -65 + 90 * depth)
    alike = [Rotation.identity(), *(Rotation.from_rotvec(np.pi * axis) for axis in np.eye(3))]
    near = min((start * half for half in alike), key=lambda r: (r.inv() * end).magnitude())
    fibre = Slerp([0, 1], Rotation.concatenate([near, end]))(depth).as_matrix()[:, 0]
    return np.rad2deg(np.arctan(fibre[1] / fibre[0]))


def test_fibres_beside_those_of_the_benchmark(arostica):
    """The benchmark's fibres are by the same algorithm, with 60° and -60°, in another program."""
    mesh, solved, data = arostica
    rule = FibreRule(
        helix_endo=60.0, helix_epi=-60.0, sheet_endo=0.0, sheet_epi=0.0, profile="bayer"
    )
    frames = np.asarray(rule.frames(mesh, at="nodes", solved=solved))
    cosine = np.clip(np.abs(dot(frames[:, :, 0], data["f0"])), 0, 1)
    error = np.rad2deg(np.arccos(cosine))
    assert np.median(error) < 0.5
    assert np.quantile(error, 0.95) < 5.5


def test_derivatives_with_respect_to_the_angles(ventricle):
    mesh, solved = ventricle
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(len(mesh.points), 3, 3)))
    weights = jnp.where((directions(mesh.points)[1] > _APEX)[:, None, None], weights, 0.0)

    @jax.jit
    def loss(angle):
        rule = FibreRule(helix_endo=angle)
        return jnp.sum(weights * rule.frames(mesh, at="nodes", solved=solved))

    step = 1e-4
    centre = jnp.asarray(37.0)
    finite = (loss(centre + step) - loss(centre - step)) / (2 * step)
    assert jax.grad(loss)(centre) == pytest.approx(float(finite), rel=1e-6)
    assert jax.jacfwd(loss)(centre) == pytest.approx(float(finite), rel=1e-6)


def test_single_precision_is_enough(ventricle):
    mesh, solved = ventricle
    with jax.enable_x64(False):
        single = FibreRule().frames(mesh)
        assert single.dtype == jnp.float32
    fibre = np.asarray(single, float)[:, :, 0]
    double = np.asarray(FibreRule().frames(mesh, solved=solved))[:, :, 0]
    wall = directions(mesh.centres())[1] > _APEX
    apart_ = np.rad2deg(np.arccos(np.clip(np.abs(dot(fibre, double)), 0, 1)))
    assert np.max(apart_[wall]) < 1


def test_a_mesh_is_given_fibres(ventricle):
    mesh, solved = ventricle
    made = with_fibres(mesh)
    np.testing.assert_allclose(made.frames, FibreRule().frames(mesh, solved=solved), atol=1e-6)
    assert eqx.tree_equal(made.points, mesh.points)


def test_mistakes_are_named(ventricle):
    with pytest.raises(ValueError, match="unknown place 'edges'; valid choices: cells, nodes"):
        FibreRule().frames(ventricle[0], at="edges")
    with pytest.raises(ValueError, match="unknown profile"):
        FibreRule(profile="cubic")
