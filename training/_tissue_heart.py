"""What a tissue case is made of: geometry, cells of regions, where stimuli are."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from training.anatomy import load_anatomy
from training.tissue_case import ENDOCARDIA, LAYERS, StimulusTable, TissueCase, default_amplitude
from twinjax.cells import AbstractCell
from twinjax.electro import (
    Eikonal,
    RootNodes,
    RootPoints,
    Stimulus,
    Tissue,
    TissueMesh,
    VoxelGrid,
    electrodes_of_heart,
    heart_frame,
    slab,
)
from twinjax.geometry import (
    FibreRule,
    Mesh,
    Surface,
    biventricle,
    coordinates,
    left_ventricle,
    replace,
    with_fibres,
)

_RADIUS = 2.0  # of a stimulus unless it says [mm]
# Up to this many widths √(D · 1 ms) a grid conducts about as fast as the continuum.
_RESOLVED = 3.6
# The corners of a voxel in VTK's order.
_CORNERS = np.array(
    [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]]
)


@dataclasses.dataclass(frozen=True, eq=False)
class Heart:
    """Tissue as a mesh [mm], of tetrahedra or of the voxels of `grid`, whose nodes it has.

    `depth` of each cell in the wall is from 0 to 1, and `nodal_depth` that of each node; nothing
    where there is no wall. `voxels` are the places in the grid of the cells. `tetrahedral` hearts
    have surfaces and fibres.
    """

    mesh: Mesh
    grid: VoxelGrid | None
    depth: np.ndarray | None
    nodal_depth: np.ndarray | None
    voxels: tuple[np.ndarray, ...] | None
    fibres: Any
    electrodes: np.ndarray | None
    notes: tuple[str, ...]

    @property
    def tetrahedral(self) -> bool:
        return self.grid is None

    @property
    def spacing(self) -> float:
        """The mean length of edges [mm]."""
        if self.grid is not None:
            return self.grid.spacing
        ends = np.asarray(self.mesh.points)[self.mesh.cells[:, [[0, 1], [2, 3]]]]
        return float(np.mean(np.linalg.norm(ends[:, :, 0] - ends[:, :, 1], axis=2)))


def build_heart(case: TissueCase) -> Heart:
    """The geometry of a case. Raises `ValueError` for files that do not fit."""
    table = case.table.geometry
    if case.table.anatomy is not None:
        anatomy = load_anatomy(case.table.anatomy, case.folder)
        transmural = np.asarray(anatomy.coordinates.transmural)
        return _meshed(anatomy.mesh, transmural, anatomy.electrodes, anatomy.notes)
    assert table is not None
    if table.kind in ("left_ventricle", "biventricle"):
        if table.kind == "left_ventricle":
            bare = left_ventricle(table.spacing, layers=table.layers)
        else:
            bare = biventricle(table.spacing)
        rule = FibreRule(helix_endo=table.helix[0], helix_epi=table.helix[1])
        mesh = with_fibres(bare, rule)
        notes = (f"fibres by rule: {table.helix[0]:g}° to {table.helix[1]:g}°",)
        return _meshed(mesh, np.asarray(coordinates(mesh).transmural), None, notes)
    if table.kind == "slab":
        assert table.size is not None
        grid = slab(table.size, table.spacing)
    else:
        grid = VoxelGrid(_array(case, str(table.file), "integers", 3), table.spacing)
    grid, voxels, mesh = grid_mesh(grid)
    if isinstance(table.fibres, str):
        fibres = _array(case, table.fibres, "numbers", 4)
    else:
        fibres = np.array(table.fibres)
    depth: np.ndarray | None = None
    nodal: np.ndarray | None = None
    if table.kind == "slab":
        depth = mesh.centres()[:, 2] / np.ptp(mesh.points[:, 2])
        nodal = mesh.points[:, 2] / np.ptp(mesh.points[:, 2])
    return Heart(mesh, grid, depth, nodal, voxels, fibres, None, ())


def _meshed(mesh: Mesh, depth: np.ndarray, electrodes: Any, notes: tuple[str, ...]) -> Heart:
    inside = depth[mesh.cells].mean(axis=1)
    return Heart(mesh, None, inside, depth, None, None, electrodes, notes)


def _array(case: TissueCase, name: str, kind: str, dimensions: int) -> np.ndarray:
    path = case.folder / name
    if not path.is_file():
        raise ValueError(f"{case.name}: there is no file {path}")
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError):
        raise ValueError(f"{path} is no array of NumPy (.npy)") from None
    whole = array.dtype.kind in "biu"
    if array.ndim != dimensions or not (whole or (kind == "numbers" and array.dtype.kind == "f")):
        raise ValueError(
            f"{path} has {array.dtype} of shape {array.shape}, not {kind} of {dimensions} axes"
        )
    return array


def grid_mesh(grid: VoxelGrid) -> tuple[VoxelGrid, tuple[np.ndarray, ...], Mesh]:
    """A three-dimensional grid, the places of its voxels, and these as hexahedra."""
    voxels = np.nonzero(grid.tags)
    number = np.full(int(np.prod(grid.shape)), -1)
    number[grid.nodes] = np.arange(len(grid.nodes))
    corners = np.stack(voxels, axis=1)[:, None, :] + _CORNERS
    cells = number[np.ravel_multi_index(tuple(np.moveaxis(corners, 2, 0)), grid.shape)]
    return grid, voxels, Mesh(grid.points, cells, regions=grid.tags[voxels].astype(np.int32))


@dataclasses.dataclass(frozen=True, eq=False)
class Regions:
    """Of each cell of the mesh the number of its cell model among `names`, and two factors."""

    names: tuple[str, ...]
    number: np.ndarray
    conductivity: np.ndarray
    velocity: np.ndarray


def place_regions(case: TissueCase, heart: Heart) -> Regions:
    """What each cell is. Raises `ValueError` for a tag or a ball without cells."""
    count, table = len(heart.mesh.cells), case.table
    conductivity, velocity = np.ones(count), np.ones(count)
    names = np.full(count, "", dtype=object)
    if table.cells is not None:
        if table.cells.model is not None:
            names[:] = table.cells.model
        elif heart.depth is not None:
            layer = np.searchsorted(table.cells.depths, heart.depth)
            names[:] = np.array([getattr(table.cells, name) for name in LAYERS], object)[layer]
    centres = heart.mesh.centres()
    for number, region in enumerate(table.regions, 1):
        if region.tag is not None:
            inside = heart.mesh.regions == region.tag
            there = ", ".join(str(tag) for tag in np.unique(heart.mesh.regions))
            told = f"no cell has the tag {region.tag}; valid choices: {there}"
        else:
            away = np.linalg.norm(centres - np.array(region.centre), axis=1)
            inside = away <= region.radius
            told = f"no tissue lies within {region.radius:g} mm of {_point(region.centre)}"
        if not inside.any():
            raise ValueError(f"{case.name}: region {number}: {told}")
        conductivity[inside], velocity[inside] = region.conductivity, region.velocity
        if region.cell is not None:
            names[inside] = region.cell
    if case.has_cells and "" in names:
        tags = ", ".join(str(tag) for tag in np.unique(heart.mesh.regions[names == ""]))
        raise ValueError(f"{case.name}: no cell model for the tags {tags}: add [[regions]]")
    # A node between cells of two models has the later: from endocardium to epicardium, then those
    # of regions.
    order = [getattr(table.cells, name) for name in LAYERS] if table.cells else []
    order += [r.cell for r in table.regions if r.cell is not None]
    used = sorted(set(names), key=lambda n: order.index(n) if n in order else -1)
    number_of = np.array([used.index(name) for name in names])
    return Regions(tuple(used), number_of, conductivity, velocity)


def build_tissue(case: TissueCase, heart: Heart, regions: Regions) -> tuple[Tissue, np.ndarray]:
    """Tissue of cells, and for each of its nodes the number of the mesh's."""
    cells = [case.cell(name) for name in regions.names]
    table = case.table.tissue
    given = {k: v for k, v in case.parameters.items() if k.startswith("conductivity")}
    options: dict[str, Any] = {"mass": table.mass or _mass(case), **given}
    if heart.grid is None:
        made = TissueMesh(replace(heart.mesh, regions=regions.number.astype(np.int32)))
        tissue = Tissue(
            made, *cells, scale=regions.conductivity, stepping=table.stepping, **options
        )
        order = np.asarray(made.nodes)
    else:
        tags = np.zeros(heart.grid.tags.shape, int)
        scale = np.ones(heart.grid.tags.shape)
        tags[heart.voxels], scale[heart.voxels] = regions.number + 1, regions.conductivity
        grid = VoxelGrid(tags, heart.grid.spacing)
        tissue = Tissue(
            grid, *cells, scale=scale, fibres=heart.fibres, stepping=table.stepping, **options
        )
        number = np.full(int(np.prod(grid.shape)), -1)
        number[heart.grid.nodes] = np.arange(len(heart.grid.nodes))
        order = number[grid.nodes]
    return (tissue.astype("float32") if table.precision == "single" else tissue), order


def _mass(case: TissueCase) -> str:
    """The one that conducts at the right speed, where conduction is what activates tissue."""
    blended = case.equation == "monodomain" and case.table.tissue.stepping == "explicit"
    return "blended" if blended else "lumped"


def coarse(case: TissueCase, heart: Heart) -> str | None:
    """The warning that a mesh does not resolve the front of the monodomain equation."""
    across = case.parameters.get("conductivity_across", 0.0176062)
    reach = _RESOLVED * float(np.sqrt(max(across, 1e-12) / (140 * 0.01)))
    if case.equation != "monodomain" or heart.spacing <= 1.05 * reach:
        return None
    other = " or take the model reaction-eikonal" if heart.tetrahedral else ""
    return (
        f"edges of {heart.spacing:.2g} mm do not resolve a front across fibres, which conducts too "
        f"slowly or not at all: refine to {reach:.2g} mm{other}"
    )


def build_eikonal(case: TissueCase, heart: Heart, regions: Regions) -> Eikonal:
    """Tissue of the eikonal equation."""
    given = {k: v for k, v in case.parameters.items() if k.startswith("velocity")}
    layers = [ENDOCARDIA[name] for name in case.table.tissue.fast_layers]
    for name in ("velocity_lv_endo", "velocity_rv_endo"):
        if name in given and name.removeprefix("velocity_") not in case.table.tissue.fast_layers:
            raise ValueError(
                f"{case.name}: {name} is that of a fast layer: add "
                f"fast_layers = ['{name.removeprefix('velocity_')}']"
            )
    plain = Eikonal(heart.mesh, fast_layers=layers, **given)
    if np.all(regions.velocity == 1):
        return plain
    walls = ("velocity_fibre", "velocity_sheet", "velocity_normal")
    changed = {name: getattr(plain, name) * jnp.asarray(regions.velocity) for name in walls}
    return Eikonal(heart.mesh, fast_layers=layers, **(given | changed))


def stimulated(case: TissueCase, heart: Heart, number: int) -> np.ndarray:
    """Which nodes of the mesh stimulus `number` (from 0) reaches.

    Raises `ValueError` for a point outside of the tissue or a surface that is not there.
    """
    stimulus = case.table.stimuli[number]
    points = np.asarray(heart.mesh.points)
    title = f"{case.name}: stimulus {number + 1}"
    inside = np.zeros(len(points), bool)
    if stimulus.surface is not None:
        inside[heart.mesh.nodes(Surface[stimulus.surface.upper()])] = True
        if not inside.any():
            raise ValueError(f"{title}: the mesh has no facets of the surface {stimulus.surface}")
        return inside
    away = np.linalg.norm(points - np.array(stimulus.at), axis=1)
    nearest = int(np.argmin(away))
    # Between nodes of a coarse mesh there may be none within the radius.
    if away[nearest] > max(_reach(stimulus), heart.spacing):
        raise ValueError(
            f"{title} at {_point(stimulus.at)} mm lies outside of the tissue, {away[nearest]:.3g} "
            f"mm from its nearest node {_point(points[nearest])}"
        )
    inside = away <= _reach(stimulus)
    inside[nearest] = True
    return inside


def _reach(stimulus: StimulusTable) -> float:
    return _RADIUS if stimulus.radius is None else stimulus.radius


def _point(place: Any) -> str:
    return "(" + ", ".join(f"{x:.4g}" for x in place) + ")"


def build_roots(case: TissueCase, heart: Heart) -> RootPoints | RootNodes:
    """Where the front of the eikonal equation starts."""
    stimuli = case.table.stimuli
    masks = [stimulated(case, heart, i) for i in range(len(stimuli))]
    onsets = [stimulus.times[0] for stimulus in stimuli]
    if all(s.at is not None and s.radius is None for s in stimuli):
        return RootPoints([s.at for s in stimuli], onsets)
    nodes = [np.flatnonzero(mask) for mask in masks]
    times = [np.full(len(n), onset) for n, onset in zip(nodes, onsets, strict=True)]
    return RootNodes(np.concatenate(nodes), np.concatenate(times))


def build_stimuli(
    case: TissueCase, heart: Heart, tissue: Tissue, order: np.ndarray, regions: Regions
) -> list[Stimulus]:
    """One for each time of each stimulus of the case."""
    cells = [case.cell(name) for name in regions.names]
    found = []
    for number, stimulus in enumerate(case.table.stimuli):
        where = stimulated(case, heart, number)[order]
        amplitude: Any = stimulus.amplitude
        if amplitude is None:
            amplitude = amplitudes(case, cells, tissue)
        found += [
            Stimulus(where, amplitude, start=start, duration=stimulus.duration)
            for start in stimulus.times
        ]
    return found


def amplitudes(case: TissueCase, cells: list[AbstractCell], tissue: Tissue) -> np.ndarray:
    """The default amplitude of every node of tissue, in the unit of its cell's currents."""
    try:
        values = [default_amplitude(cell) for cell in cells]
    except ValueError as error:
        raise ValueError(f"{case.name}: {error}") from None
    return np.repeat(values, tissue.counts)


def electrodes_for(heart: Heart) -> tuple[np.ndarray, str]:
    """Those of the file, or the standard ones about the heart, and which they are."""
    if heart.electrodes is not None:
        return heart.electrodes, "electrodes: those of the file"
    centre, directions = heart_frame(heart.mesh)
    note = "electrodes: where they are on a normal man, by the heart's own axes"
    return electrodes_of_heart(centre, directions), note
