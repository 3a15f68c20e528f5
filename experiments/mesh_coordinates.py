"""Ventricular coordinates and fibres by rule on two hearts of patients.

The closed surface of Schuler et al. 2021 (Med Image Anal 74:102247, geometry 1), filled with
tetrahedra, its surfaces by the labels that come with it; and the ventricles cut out of a whole
heart with outflow tracts (Gerach et al. 2021, Mathematics 9:1247), its surfaces found by geometry.

What is measured, by distances to the triangles of the surfaces and not by the harmonic fields that
made fibres and coordinates: the normal of the wall is the way from the nearest point of one of its
surfaces to that of the other, depth is the share of the two distances, and the helix angle is seen
in the plane across the normal, from the circumference towards the base. The direction to the base
is that of Bayer's rule, ∇ψ; told beside it is the error in a frame of the long axis, from which ∇ψ
departs where a base is not one flat ring. Only cells in the free walls and the septum count, and
not those nearer to a third surface than their wall is thick.

Spec: frames orthonormal and right-handed to rounding; the helix angle within 5° of the rule at the
median, in both free walls and the septum; fibres turn from a positive angle at the endocardium to a
negative one at the epicardium; transmural from 0 to 1 without a strict local extremum inside either
ventricle (midway through the septum, where both meet, it has its ridge); found endocardia those of
the tags. With --quick: the first heart alone, its surface thinned to half of its triangles.
"""

import time

import numpy as np
from scipy.spatial import cKDTree

from twinjax.fem import P1
from twinjax.geometry import (
    Coordinates,
    FibreRule,
    Fields,
    Mesh,
    Surface,
    areas,
    coordinates,
    edges,
    extract,
    fields,
    find_surfaces,
    long_axis,
    surfaces_from_points,
    tags_of,
    tetrahedralise,
)
from twinjax.io import read_mesh, read_surface

from ._report import Report, main
from ._shared import shared_path

RULE = (40.0, -50.0)  # helix angles at endocardium and epicardium [deg]
# Between which surfaces each wall lies, in the order of depth, and which is the third.
WALLS = {
    "left free wall": (Surface.LV_ENDO, Surface.EPI, Surface.RV_ENDO, RULE),
    "right free wall": (Surface.RV_ENDO, Surface.EPI, Surface.LV_ENDO, RULE),
    "septum": (Surface.LV_ENDO, Surface.RV_ENDO, Surface.EPI, (RULE[0], -RULE[0])),
}
_NEAREST = 12  # triangles, by their centres, whose distances are looked at
_ALONG = 0.9  # the cosine between normal and long axis above which there is no helix angle


def run(quick: bool, report: Report) -> None:
    """The first heart; unless quick, the second."""
    one_heart(report, "closed surface", labelled_surface(quick))
    if not quick:
        one_heart(report, "whole heart", cut_out(report))


def labelled_surface(quick: bool = False) -> Mesh:
    """The first heart; if quick, of half of its triangles."""
    read = read_surface(shared_path("data/meshes/cobiveco/geo1/heart.vtp"))
    labels = read.point_data["class"].astype(int)
    points, triangles = read.points, read.triangles
    if quick:
        points, triangles = _thinned(points, triangles)
    return surfaces_from_points(tetrahedralise(points, triangles), read.points, labels)


def _thinned(points: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import pyvista  # which has read the surface

    whole = pyvista.PolyData.from_regular_faces(points, triangles)
    few = whole.decimate_pro(0.5, preserve_topology=True)
    return np.asarray(few.points, float), few.faces.reshape(-1, 4)[:, 1:]


def cut_out(report: Report | None = None) -> Mesh:
    """The second heart, and how its found surfaces compare with the tags of the file."""
    whole = read_mesh(shared_path("data/meshes/kit_four_chamber/heartT4.ele")).mesh
    mesh, _ = extract(whole, 30, 31)
    began = time.perf_counter()
    found = find_surfaces(mesh)
    took = time.perf_counter() - began
    if report is not None:
        size = np.linalg.norm(areas(np.asarray(found.points), found.facets), axis=1)
        tags = tags_of(mesh, found.facets)
        for tag, surface in ((131, Surface.LV_ENDO), (130, Surface.RV_ENDO), (160, Surface.EPI)):
            theirs = tags == tag
            share = size[theirs & (found.facet_tags == surface)].sum() / size[theirs].sum()
            title = f"whole heart: area of tag {tag} that is found as {surface.name}"
            report.at_least(title, share, 0.99, unit="1", source="tags of the file")
        report.information("whole heart: finding surfaces", took, unit="s", source="wall time")
    return found


def one_heart(report: Report, name: str, mesh: Mesh) -> None:
    """Costs, coordinates and fibres of one mesh."""
    began = time.perf_counter()
    solved = fields(mesh)
    frames = np.asarray(FibreRule().frames(mesh, solved=solved))
    found = coordinates(mesh, solved)
    np.asarray(found.transmural)
    took = time.perf_counter() - began
    source = f"{len(mesh.points)} nodes, {len(mesh.cells)} cells, compiling included"
    report.information(f"{name}: fields, fibres and coordinates", took, unit="s", source=source)
    product = np.einsum("cki,ckj->cij", frames, frames) - np.eye(3)
    source = "largest entry of FᵀF - 1 and of det F - 1"
    worst = max(np.abs(product).max(), np.abs(np.linalg.det(frames) - 1).max())
    report.at_most(f"{name}: frames from orthonormal", worst, 1e-10, unit="1", source=source)
    transmural(report, name, mesh, found)
    fibre_angles(report, name, mesh, solved, frames[:, :, 0])


def transmural(report: Report, name: str, mesh: Mesh, found: Coordinates) -> None:
    """Range and local extrema of the transmural coordinate."""
    value, side = np.asarray(found.transmural), np.asarray(found.transventricular)
    for what, end, limit in (("lowest", value.min(), 0.0), ("highest", value.max(), 1.0)):
        title = f"{name}: transmural, {what}"
        report.absolute(title, end, limit, 1e-6, unit="1", source="by definition")
    count = len(value)
    above, below, other = (np.zeros(count, bool) for _ in range(3))
    for one, two in ((0, 1), (1, 0)):
        a, b = edges(mesh)[:, one], edges(mesh)[:, two]
        np.logical_or.at(above, a, value[b] >= value[a])
        np.logical_or.at(below, a, value[b] <= value[a])
        np.logical_or.at(other, a, side[b] != side[a])
    inside = np.ones(count, bool)
    inside[mesh.nodes(*(s for s in Surface if s != Surface.BASE))] = False
    extreme = inside & ~(above & below)
    source = f"{inside.sum()} nodes off the surfaces; {np.sum(extreme & other)} at the ridge"
    title = f"{name}: strict local extrema of transmural off the ridge"
    report.absolute(title, np.sum(extreme & ~other), 0, 0, unit="1", source=source)


def fibre_angles(report: Report, name: str, mesh: Mesh, solved: Fields, fibre: np.ndarray) -> None:
    """Helix angles of every wall beside the rule's."""
    points, centres = np.asarray(mesh.points), mesh.centres()
    away, place = {}, {}
    for surface in (Surface.EPI, Surface.LV_ENDO, Surface.RV_ENDO):
        triangles = points[mesh.facets[mesh.facet_tags == surface]]
        away[surface], place[surface] = nearest(triangles, centres)
    upward = np.asarray(P1(mesh.points, mesh.cells).gradient(solved.apex))
    # Where every node of a cell is fixed there is no direction.
    upward = upward / np.maximum(np.linalg.norm(upward, axis=1), 1e-300)[:, None]
    axis = np.broadcast_to(long_axis(mesh)[1], centres.shape)
    depths, angles = [], []
    for wall, (inner, outer, third, ends) in WALLS.items():
        counts = away[third] > away[inner] + away[outer]
        normal = _unit(place[outer] - place[inner])
        depth = away[inner] / (away[inner] + away[outer])
        expected = ends[0] * (1 - depth) + ends[1] * depth
        errors = {}
        for what, base in (("∇ψ", upward), ("long axis", axis)):
            cosine = np.einsum("ij,ij->i", base, normal)
            seen = counts & (np.abs(cosine) < _ALONG) & (np.linalg.norm(base, axis=1) > 0.5)
            up = _unit(base - cosine[:, None] * normal)
            around = np.cross(up, normal)
            helix = np.rad2deg(
                np.arctan2(np.einsum("ij,ij->i", fibre, up), np.einsum("ij,ij->i", fibre, around))
            )
            apart = (helix - expected + 90) % 180 - 90
            errors[what] = np.abs(apart[seen])
            if what == "∇ψ" and wall != "septum":
                depths.append(depth[seen])
                angles.append((expected + apart)[seen])
        source = f"{len(errors['∇ψ'])} cells; 95 % within {np.quantile(errors['∇ψ'], 0.95):.1f}°"
        title = f"{name}, {wall}: helix angle off the rule, median"
        report.at_most(title, np.median(errors["∇ψ"]), 5.0, unit="deg", source=source)
        source = f"95 % within {np.quantile(errors['long axis'], 0.95):.1f}°"
        title = f"{name}, {wall}: the same in the long axis' frame"
        report.information(title, np.median(errors["long axis"]), unit="deg", source=source)
        tilt = np.abs(np.einsum("ij,ij->i", fibre, normal))[counts]
        title = f"{name}, {wall}: fibre out of the wall's layer, median"
        value = np.rad2deg(np.arcsin(np.median(tilt)))
        report.information(title, value, unit="deg", source="from the normal by distances")
    depth, angle = np.concatenate(depths), np.concatenate(angles)
    for what, near, right in (
        ("endocardium is right-handed", depth < 0.2, angle > 0),
        ("epicardium is left-handed", depth > 0.8, angle < 0),
    ):
        title = f"{name}: share of cells whose {what}"
        source = "a fifth of the free walls"
        report.at_least(title, np.mean(right[near]), 0.95, unit="1", source=source)


def nearest(triangles: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distance to the nearest of triangles (triangle, 3, 3), and the point of it."""
    candidates = cKDTree(triangles.mean(axis=1)).query(points, _NEAREST)[1]
    best, place = np.full(len(points), np.inf), np.zeros_like(points)
    for candidate in candidates.T:
        a, b, c = np.moveaxis(triangles[candidate], 1, 0)
        normal = np.cross(b - a, c - a)
        square = np.einsum("ij,ij->i", normal, normal)
        v = np.einsum("ij,ij->i", np.cross(points - a, c - a), normal) / square
        w = np.einsum("ij,ij->i", np.cross(b - a, points - a), normal) / square
        within = (v >= 0) & (w >= 0) & (v + w <= 1)
        options = [np.where(within[:, None], a + v[:, None] * (b - a) + w[:, None] * (c - a), a)]
        for one, two in ((a, b), (b, c), (c, a)):
            along = two - one
            share = np.einsum("ij,ij->i", points - one, along)
            share = np.clip(share / np.einsum("ij,ij->i", along, along), 0, 1)
            options.append(one + share[:, None] * along)
        for option in options:
            apart = np.linalg.norm(points - option, axis=1)
            closer = apart < best
            best[closer], place[closer] = apart[closer], option[closer]
    return best, place


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-300)


if __name__ == "__main__":
    main(run, name="mesh_coordinates")
