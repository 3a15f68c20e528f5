"""Seconds of a Newton step and of a load step in finite-strain mechanics, beside other programs.

A block of 2 x 1 x 1 mm of neo-Hookean tissue (shear modulus 1 kPa, bulk modulus 10 kPa), held at
x = 0, that a force of 0.05 kPa/mm on all of its volume bends, in one step of the load. Quadratic
tetrahedra, all programs on the same ones, from rest to a residual of 1e-8; each must find the same
mean deflection of the end to 0.1 %. Programs are run one after the other, twice if they take 20 s
or less, of which the lesser time counts, in processes of their own with double precision and two
threads (FEniCSx in one process, with MUMPS). Compiling is told apart.

Peers: scikit-fem in this environment or in that of TWINJAX_SKFEM_PYTHON; FEniCSx (dolfinx 0.5, of
Debian) and JAX-FEM in those of TWINJAX_DOLFINX_PYTHON and TWINJAX_JAXFEM_PYTHON. Those that are not
installed are left out.

Spec: a tenth of the 58 s that JAX-FEM took for a load step of 36,000 degrees of freedom; and of
JAX-FEM's time in the same run. scikit-fem and JAX-FEM take part up to 20,000 degrees of freedom:
beyond, their factorisations take many minutes. Told: the shares of elements, factorisation and
solution, and how far the factorisation is from what the processor can compute.

With --quick: the smallest mesh, and no other program.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from twinjax.geometry import slab
from twinjax.mechanics import Load, MooneyRivlin, Quadratic, QuadraticVolume, Wall, deform
from twinjax.mechanics._balance import stiffness
from twinjax.mechanics._cells import Cells, Coupling

from ._report import Report, main
from ._timing import least

C_1, BULK, PULL = 0.5, 10.0, (0.0, 0.0, -0.05)
SIZE = (2.0, 1.0, 1.0)
SPACINGS = (1 / 4, 1 / 7, 1 / 9, 1 / 11)  # 4,000 to 71,000 degrees of freedom
SLOWEST = {"jaxfem": 20_000, "skfem": 20_000}  # degrees of freedom up to which a peer is run
PEERS = {"skfem": "scikit-fem", "dolfinx": "FEniCSx", "jaxfem": "JAX-FEM"}
AGAIN = 20.0  # [s] up to which a peer is run a second time
KNOWN = 58.0  # [s] of JAX-FEM for 36,000 degrees of freedom on two cores


def run(quick: bool, report: Report) -> None:
    """From the smallest mesh to the largest."""
    for spacing in SPACINGS[:1] if quick else SPACINGS:
        compare(report, spacing, () if quick else tuple(PEERS))


def compare(report: Report, spacing: float, peers: tuple[str, ...]) -> None:
    """One mesh by all programs."""
    mesh = slab(SIZE, spacing)
    elements = Quadratic(mesh)
    wall = Wall(
        elements,
        MooneyRivlin(C_1),
        volume=QuadraticVolume(bulk=BULK),
        fixed=elements.mask(1),
        pressures="pointwise",
    )
    pull = np.broadcast_to(PULL, (*wall.frames.shape[:2], 3))
    load = Load(force=elements.load(jax.numpy.asarray(pull)))
    count = int((~np.asarray(wall.fixed)).sum())
    name = f"{count:,} degrees of freedom"

    def once() -> Any:
        wall.sparsity.forget()  # what an earlier run has factorised
        found = deform(wall, load, first_step=1.0, rtol=1e-8)
        return jax.block_until_ready(found)

    begun = time.perf_counter()
    found = once()
    first = time.perf_counter() - begun
    seconds = least(once, 2)
    points = np.asarray(elements.points)
    far = np.isclose(points[:, 0], SIZE[0])
    end = float(np.asarray(found.state.displacement)[far, 2].mean())
    corrections, made = (int(found.stats[k]) for k in ("corrections", "factorisations"))
    report.information(
        f"{name}: a load step",
        seconds,
        unit="s",
        source=f"{corrections} corrections, {made} stiffnesses; the first call took {first:.1f} s",
    )
    _phases(report, name, wall, load, found.state, made)
    for peer in peers:
        other = _peer(peer, elements, mesh) if count <= SLOWEST.get(peer, 10**9) else None
        if other is None:
            continue
        title = f"{name}: {PEERS[peer]}"
        report.relative(
            f"{title}, deflection of the end",
            end,
            other["end"],
            1e-3,
            unit="mm",
            source="the same elements",
        )
        note = f"{other['steps']} steps of Newton's method; compiling {other['first']:.1f} s"
        phases = ", ".join(f"{k} {v:.2f} s" for k, v in other["phases"].items())
        report.information(
            f"{title}, a load step", other["seconds"], unit="s", source=f"{note} {phases}"
        )
        ratio = other["seconds"] / seconds
        each = (other["seconds"] / other["steps"]) / (seconds / made)
        note = f"a step of Newton's method: {each:.1f} (ours: the time over our stiffnesses)"
        title = f"{title}, its load step over ours"
        if peer == "jaxfem":
            report.at_least(title, ratio, 10.0, unit="1", source=note)
        else:
            report.information(title, ratio, unit="1", source=note)
    if 30_000 < count < 50_000:
        known = KNOWN / 10 * count / 36_000
        note = "a tenth of what JAX-FEM took, in proportion to the degrees of freedom"
        report.at_most(f"{name}: a load step, judged", seconds, known, unit="s", source=note)


def _phases(report: Report, name: str, wall: Wall, load: Load, state: Any, made: int) -> None:
    """What a stiffness, its factors and a solution cost at the end of the load step."""

    @eqx.filter_jit
    def whole(wall: Wall, load: Load, state: Any) -> Any:
        cells = Cells(wall)
        return stiffness(wall, cells, Coupling(wall, cells, state), load, state)

    asked = load.on(wall)
    values = np.asarray(whole(wall, asked, state))
    right = np.asarray(state.displacement).reshape(-1, 1)
    fronts = wall.sparsity.fronts
    factors = fronts.factorise(values)
    elements = least(lambda: jax.block_until_ready(whole(wall, asked, state)), 3)
    factor = least(lambda: fronts.factorise(values), 3)
    solution = least(lambda: factors.solve(right), 3)
    # The stiffness is symmetric: of what a front leaves, one half is computed.
    work = sum(
        2 / 3 * own**3 + 2 * own**2 * rim + own * rim**2
        for own, rim in ((len(f.own), len(f.rim)) for f in fronts.fronts)
    )
    square = np.random.default_rng(0).standard_normal((2000, 2000))
    rate = 2 * 2000**3 / least(lambda: square @ square, 5)
    note = f"elements, assembly {elements:.3f} s, factors {factor:.3f} s, solution {solution:.3f} s"
    title = f"{name}: a stiffness, its factors and a solution"
    report.information(title, elements + factor + solution, unit="s", source=note)
    note = f"{work / 1e9:.2f} Gflop, and {rate / 1e9:.0f} Gflop/s in products of large matrices"
    report.information(
        f"{name}: factorisation, share of the speed of dense products",
        work / factor / rate,
        unit="1",
        source=note,
    )


def _peer(name: str, elements: Quadratic, mesh: Any) -> dict[str, Any] | None:
    """The lesser of two runs; None where the program is not installed."""
    python = os.environ.get(f"TWINJAX_{name.upper()}_PYTHON") or sys.executable
    module = {"skfem": "skfem", "dolfinx": "dolfinx", "jaxfem": "jax_fem"}[name]
    there = subprocess.run([python, "-c", f"import {module}"], capture_output=True)
    if there.returncode:
        return None
    script = Path(__file__).with_name(f"_{name}_block.py")
    with tempfile.TemporaryDirectory() as folder:
        given, result = Path(folder) / "mesh.npz", Path(folder) / "result.json"
        np.savez(
            given,
            points=np.asarray(elements.points),
            cells=np.asarray(elements.cells),
            corners=np.asarray(mesh.points),
            c_1=C_1,
            bulk=BULK,
            pull=PULL,
        )
        runs = []
        for _ in range(2):
            subprocess.run(
                [python, str(script), str(given), str(result)],
                check=True,
                capture_output=True,
                env=os.environ | {"OMP_NUM_THREADS": "2"},
            )
            runs.append(json.loads(result.read_text()))
            if runs[0]["seconds"] > AGAIN:
                break
    return min(runs, key=lambda r: r["seconds"])


if __name__ == "__main__":
    main(run, name="mechanics_speed")
