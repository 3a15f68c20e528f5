"""Gradients of a beat by parameters of all its physics, three ways, and what they cost.

The ventricle of `whole_heart_beat` on a coarse mesh, excited by an eikonal front from three places
of the endocardium, beats once from a filled state that does not move. Of ejection fraction, peak
pressure, greatest rise of pressure, stroke work and, from the 12-lead ECG in an unbounded medium
with electrodes at places that were chosen, QRS duration, derivatives are taken by 14 parameters of
excitation, sarcomeres, wall and circulation: by the adjoint, by forward sensitivities, and by
differences along a direction in each of the four physics and one in all of them.

Spec: reverse against forward and against differences to 1e-3; the adjoint takes at most the time
of four beats. Stated: the cost of both, compiling apart, and the most memory.

With --quick: the coarsest mesh and 120 ms in long steps.
"""

import resource
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax.electro import (
    Conductivities,
    Eikonal,
    LeadField,
    RootNodes,
    activation_times,
    unbounded_lead_field,
)
from twinjax.geometry import Surface
from twinjax.heart import CalciumTransient, WholeHeart, adjoint, beat, sensitivities

from ._report import Report, main
from ._ventricle import ACTIVATED, BUNDLE, nearest, tissue_of, transient, ventricle
from .whole_heart_beat import steps

SPACING, COARSE = 13.0, 25.0  # mm
TOLERANCE, COST = 1e-3, 4.0
STEP = 1e-4  # of each parameter, for differences
# The same for QRS, which has a kink where the ends pass a sample of the leads, and no error to
# magnify.
NARROW = 1e-6
RTOL = 1e-9  # of a beat's steps: differences magnify what is left
LEVEL = 0.05  # of the greatest deflection, within which QRS begins and ends
NAMES = {
    "excitation": ("velocity_fibre", "velocity_sheet", "velocity_lv_endo"),
    "sarcomeres": ("t_ref", "ca50", "k_trpn", "calcium"),
    "wall": ("stiffness", "b_f", "viscosity"),
    "circulation": ("resistance", "compliance", "aortic resistance", "atrial elastance"),
}
OUTPUTS = ("ejection fraction", "peak pressure", "rise of pressure", "stroke work")
# RA, LA, LL, V1 to V6 [mm]: the apex points downwards, the septum is at negative x.
ELECTRODES = np.array(
    [
        (-150, -60, 200),
        (150, -60, 200),
        (80, -60, -300),
        (-80, -90, 30),
        (-40, -110, 25),
        (10, -115, 10),
        (60, -105, -10),
        (110, -60, -20),
        (130, 0, -20),
    ],
    float,
)


class Excited(eqx.Module):
    """The heart of parameters, as `NAMES` lists them, in units of the model."""

    heart: Any  # a `WholeHeart` with the parts of `ventricle`
    tissue: Eikonal
    roots: RootNodes
    field: LeadField

    def theta(self) -> Float[Array, "14"]:
        """The parameters as they are; calcium is a factor."""
        h, e = self.heart, self.tissue
        found = [e.velocity_fibre, e.velocity_sheet, e.velocity_lv_endo]
        found += [h.tension.t_ref, h.tension.ca50, h.tension.k_trpn, 1.0]
        found += [h.wall.energy.stiffness, h.wall.energy.b_f, h.wall.viscosity]
        loop = h.circulation
        found += [loop.systemic_arteries.resistance, loop.systemic_arteries.compliance]
        found += [loop.aortic.open_resistance, loop.left_atrium.active_elastance]
        return jnp.stack([jnp.asarray(value, float) for value in found])

    def activation(self, theta: Array) -> Float[Array, " node"]:
        """Times [ms] at the nodes of the mesh."""
        tissue = eqx.tree_at(
            lambda e: (e.velocity_fibre, e.velocity_sheet, e.velocity_lv_endo),
            self.tissue,
            tuple(theta[:3]),
        )
        return activation_times(tissue, self.roots)

    def __call__(self, theta: Array) -> WholeHeart:
        elements, calcium = self.heart.wall.elements, self.heart.calcium
        times = self.activation(theta)[elements.cells[:, :4]] @ elements.linear_values().T
        return eqx.tree_at(
            lambda h: (
                h.activation,
                *(h.tension.t_ref, h.tension.ca50, h.tension.k_trpn, h.calcium.values),
                *(h.wall.energy.stiffness, h.wall.energy.b_f, h.wall.viscosity),
                h.circulation.systemic_arteries.resistance,
                h.circulation.systemic_arteries.compliance,
                h.circulation.aortic.open_resistance,
                h.circulation.left_atrium.active_elastance,
            ),
            self.heart,
            (times, *theta[3:6], theta[6] * calcium.values, *theta[7:]),
        )

    def qrs(self, theta: Array) -> Float[Array, ""]:
        """Duration [ms]: while the leads' root mean square is above `LEVEL` of its greatest."""
        times = jnp.arange(0.0, 250.0, 0.5)
        leads = self.field.of_times(times, self.activation(theta))
        size = jnp.sqrt(jnp.mean(leads**2, axis=0) + 1e-12)
        over = size - LEVEL * jnp.max(size)
        up = jnp.argmax(over > 0)
        down = len(times) - 1 - jnp.argmax(over[::-1] > 0)
        begin = times[up] - 0.5 * over[up] / (over[up] - over[up - 1])
        end = times[down] + 0.5 * over[down] / (over[down] - over[down + 1])
        return end - begin


def excited(spacing: float, calcium: CalciumTransient) -> Excited:
    """The ventricle, with tissue on the same tetrahedra."""
    heart = ventricle(spacing, calcium=calcium)
    mesh = tissue_of(heart, spacing)
    roots = RootNodes(nearest(mesh, Surface.LV_ENDO, BUNDLE), ACTIVATED[0])
    conductivity = Conductivities().intracellular(mesh.frames)
    field = unbounded_lead_field(mesh.points, mesh.cells, conductivity, ELECTRODES)
    tissue = Eikonal(mesh, fast_layers=(Surface.LV_ENDO,))
    return Excited(heart, tissue, roots, field.twelve_leads())


def measure(seen: Any) -> Float[Array, "4"]:
    """`OUTPUTS`: %, mmHg, mmHg a step, mmHg mL."""
    volume, pressure = seen["left_ventricle.volume"], seen["left_ventricle.pressure"]
    most = jnp.max(volume)
    mean = (pressure[1:] + pressure[:-1]) / 2
    return jnp.stack(
        [
            100 * (1 - jnp.min(volume) / most),
            jnp.max(pressure),
            jnp.max(jnp.diff(pressure)),
            -jnp.sum(mean * jnp.diff(volume)),
        ]
    )


def run(quick: bool, report: Report) -> None:
    """Costs first, on the compiled second call; then the comparisons."""
    make = excited(COARSE if quick else SPACING, transient(2 if quick else 100))
    theta = make.theta()
    lengths = np.full(12, 10.0) if quick else steps()
    options = {"start": make(theta).filled(), "step": lengths, "rtol": RTOL}
    freedom = 3 * len(make.heart.wall.elements.points)
    words = f"{len(lengths)} steps, {len(theta)} parameters"
    report.information("degrees of freedom", freedom, unit="1", source=words)
    short = options | {"step": lengths[:2]}
    plain = timed(report, "a beat", lambda o: beat(make(theta), **o), short, options)
    back = timed(
        report, "the adjoint", lambda o: adjoint(make, theta, measure, **o), short, options
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    report.information("most memory", memory, unit="GiB", source="of the process, so far")
    ahead = timed(
        report, "forward sensitivities", lambda o: sensitivities(make, theta, **o), short, options
    )
    cost = {"unit": "1", "source": "with the beat itself, all outputs at once"}
    report.at_most("the adjoint over a beat", back[0] / plain[0], COST, **cost)
    report.information("forward sensitivities over a beat", ahead[0] / plain[0], **cost)
    values, reverse = (np.asarray(x) for x in back[1][:2])
    for name, value in zip(OUTPUTS, values, strict=True):
        report.information(name, float(value), unit="1", source="%, mmHg, mmHg a step, mmHg mL")
    told = jax.vmap(lambda s: jax.jvp(measure, (ahead[1][0].observations,), (s,))[1])(ahead[1][1])
    scale = np.abs(reverse * np.asarray(theta)).max(axis=1)
    apart = np.abs((np.asarray(told).T - reverse) * np.asarray(theta)).max(axis=1) / scale
    for name, value in zip(OUTPUTS, apart, strict=True):
        words = "of the greatest derivative, each by its parameter's size"
        report.at_most(f"{name}: forward, reverse", float(value), TOLERANCE, unit="1", source=words)

    def observed(theta: Array) -> np.ndarray:
        return np.asarray(measure(beat(make(theta), **options).observations))

    directions = parts(theta)
    for name, along in directions.items():
        difference = (observed(theta + STEP * along) - observed(theta - STEP * along)) / (2 * STEP)
        compare(report, name, reverse @ np.asarray(along), difference, scale)
    qrs(report, make, theta, directions)


def parts(theta: Array) -> dict[str, Array]:
    """A direction in each of the physics, of the size of the parameters, and one in all."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], len(theta))
    whole, found, begin = theta * signs, {}, 0
    for name, members in NAMES.items():
        inside = (np.arange(len(theta)) >= begin) & (np.arange(len(theta)) < begin + len(members))
        found[name] = jnp.where(inside, whole, 0.0)
        begin += len(members)
    return found | {"all": whole}


def compare(
    report: Report, name: str, reverse: np.ndarray, difference: np.ndarray, scale: np.ndarray
) -> None:
    """Directional derivatives of all outputs."""
    for output, one, other, size in zip(OUTPUTS, reverse, difference, scale, strict=True):
        words = f"{one:.6g} and {other:.6g}; of the greater, or of 1 % of the greatest derivative"
        apart = abs(one - other) / max(abs(one), abs(other), 0.01 * size)
        title = f"{output}, {name}: reverse, differences"
        report.at_most(title, float(apart), TOLERANCE, unit="1", source=words)


def qrs(report: Report, make: Excited, theta: Array, directions: dict[str, Array]) -> None:
    """The same of QRS duration, which excitation alone makes."""
    duration = eqx.filter_jit(make.qrs)
    report.information("QRS duration", float(duration(theta)), unit="ms", source="12 leads")
    reverse = np.asarray(jax.grad(duration)(theta))
    forward = np.asarray(jax.jacfwd(duration)(theta))
    apart = np.abs(forward - reverse).max() / np.abs(reverse).max()
    words = "of the greatest derivative"
    report.at_most("QRS duration: forward, reverse", apart, TOLERANCE, unit="1", source=words)
    along = directions["excitation"]
    ends = [float(duration(theta + s * NARROW * along)) for s in (1, -1)]
    difference, slope = (ends[0] - ends[1]) / (2 * NARROW), float(reverse @ np.asarray(along))
    apart = abs(difference / slope - 1)
    words = f"{slope:.6g} and {difference:.6g}"
    title = "QRS duration, excitation: reverse, differences"
    report.at_most(title, apart, TOLERANCE, unit="1", source=words)


def timed(
    report: Report, name: str, call: Callable, short: dict[str, Any], options: dict[str, Any]
) -> tuple[float, Any]:
    """Seconds of processors of a call that two steps have compiled, and what it returns."""
    begun = time.perf_counter()
    jax.block_until_ready(jax.tree.leaves(eqx.filter(call(short), eqx.is_array)))
    first = time.perf_counter() - begun
    begun, used = time.perf_counter(), time.process_time()
    found = call(options)
    jax.block_until_ready(jax.tree.leaves(eqx.filter(found, eqx.is_array)))
    wall, processors = time.perf_counter() - begun, time.process_time() - used
    words = f"{processors:.1f} s of processors; two steps with compiling took {first:.1f} s before"
    report.information(name, wall, unit="s", source=words)
    return processors, found


if __name__ == "__main__":
    main(run, name="whole_heart_gradients")
