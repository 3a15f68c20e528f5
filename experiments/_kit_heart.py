"""The whole heart of Gerach et al. 2021, Mathematics 9:1247, as walls for mechanics.

Its mesh has edges of 3 mm, too fine for elements of second order on a desk: it is coarsened, its
regions and surfaces kept. Materials are those of the parameter file beside it (scenario_I.xml):
Usyk's law in the muscle, with the scales that the file gives for each chamber, and neo-Hooke's in
valves and vessels, whose small strains Usyk's with equal exponents of 1 and C = 2 μ has too.
"""

import dataclasses

import numpy as np

from twinjax.geometry import (
    FibreRule,
    Mesh,
    Surface,
    boundary,
    extract,
    replace,
    tags_of,
)
from twinjax.io import read_mesh
from twinjax.mechanics import Load, Quadratic, QuadraticVolume, Springs, Usyk, Wall, at_points
from twinjax.units import convert

from ._shared import shared_path

FOLDER = "data/meshes/kit_four_chamber"
RV, LV, RA, LA = 30, 31, 32, 33
VALVES = (34, 35, 36, 37)
CAVITIES = {131: "left ventricle", 130: "right ventricle", 133: "left atrium", 132: "right atrium"}
PRESSURES = {131: 7.5, 130: 3.75, 133: 8.25, 132: 4.5}  # [mmHg], <InitialConditions>
EPICARDIUM, HELD = 160, 200
BULK = 650.0  # [kPa]
LOCAL = 10.0  # [kPa], a means of the discretisation

A, B = 0.88, {"ff": 8.0, "ss": 6.0, "nn": 3.0, "fs": 12.0, "fn": 3.0, "sn": 3.0}
A_SCALE, B_SCALE = {RV: 0.07, LV: 0.042, RA: 0.07, LA: 0.084}, 3.55
SHEAR = {34: 1000.0, 35: 1000.0, 36: 1000.0, 37: 1000.0, 38: 7.45, 39: 15.18}  # [kPa]


def imaged() -> tuple[Mesh, np.ndarray]:
    """The mesh as imaged, without what surrounds the heart, and which nodes the file holds."""
    whole = read_mesh(shared_path(f"{FOLDER}/heartT4.ele")).mesh
    lines = shared_path(f"{FOLDER}/heartT4.node").read_text().splitlines()[1:]
    held = np.array([line.split()[4] == "7" for line in lines])
    mesh, nodes = extract(whole, *A_SCALE, *SHEAR)
    return mesh, held[nodes]


def ventricles(mesh: Mesh) -> Mesh:
    """Both ventricles with their valves, HELD by the boundary that is no surface of theirs."""
    part, _ = extract(mesh, RV, LV, *VALVES)
    facets, _ = boundary(part)
    tags = tags_of(part, facets)
    known = np.isin(tags, (130, 131, EPICARDIUM))
    return replace(part, facets=facets, facet_tags=np.where(known, tags, HELD))


def with_held(mesh: Mesh, held: np.ndarray) -> Mesh:
    """The boundary's facets between nodes that the file holds, the ends of vessels, are HELD."""
    facets, _ = boundary(mesh)
    tags = np.where(held[facets].all(axis=1), HELD, tags_of(mesh, facets))
    return replace(mesh, facets=facets[tags != 0], facet_tags=tags[tags != 0])


def energy(regions: np.ndarray) -> Usyk:
    """The parameters of every cell."""
    muscle = np.isin(regions, list(A_SCALE))
    stiffness = np.zeros(len(regions))
    for region, scale in A_SCALE.items():
        stiffness[regions == region] = A * scale
    for region, shear in SHEAR.items():
        stiffness[regions == region] = 2 * shear
    exponents = {f"b_{k}": np.where(muscle, B_SCALE * b, 1.0) for k, b in B.items()}
    return Usyk(stiffness=stiffness, **exponents)


def nodal_frames(mesh: Mesh) -> np.ndarray:
    """Axes by rule: of Bayer's in the ventricles, around its own axis in each atrium."""
    axes = np.tile(np.eye(3), (len(mesh.points), 1, 1))
    both = [((RV, LV), FibreRule(), {131: Surface.LV_ENDO, 130: Surface.RV_ENDO})]
    flat = FibreRule(helix_endo=0.0, helix_epi=0.0, sheet_endo=0.0, sheet_epi=0.0)
    for region, tag in ((LA, 133), (RA, 132)):
        if (mesh.regions == region).any():
            both.insert(0, ((region,), flat, {tag: Surface.LV_ENDO}))
    for regions, rule, endocardia in both:
        part, nodes = extract(mesh, *regions)
        facets, _ = boundary(part)
        tags = tags_of(part, facets)
        surfaces = np.full(len(facets), int(Surface.BASE))
        for tag, surface in ({EPICARDIUM: Surface.EPI} | endocardia).items():
            surfaces[tags == tag] = int(surface)
        part = replace(part, facets=facets, facet_tags=surfaces)
        axes[nodes] = np.asarray(rule.frames(part, at="nodes"))
    return axes


@dataclasses.dataclass(frozen=True)
class Heart:
    """A wall with its load: cavities by tag, springs [kPa/mm] on the epicardium."""

    mesh: Mesh
    cavities: tuple[int, ...]
    springs: float

    def wall(self) -> Wall:
        elements = Quadratic(self.mesh)
        around = Springs(elements, EPICARDIUM, stiffness=self.springs, normal=True)
        return Wall(
            elements,
            energy(self.mesh.regions),
            frames=at_points(elements, nodal_frames(self.mesh)),
            volume=QuadraticVolume(bulk=BULK, local=LOCAL),
            fixed=elements.mask(HELD),
            cavities=self.cavities,
            springs=(around,),
        )

    def load(self) -> Load:
        return Load(np.array([convert(PRESSURES[tag], "mmHg", "kPa") for tag in self.cavities]))
