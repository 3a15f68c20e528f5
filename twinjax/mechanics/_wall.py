"""The wall and its load: everything that an equilibrium is a function of."""

import abc
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from twinjax.mechanics._cavity import cavity_volume, rim
from twinjax.mechanics._elements import Quadratic
from twinjax.mechanics._energy import AbstractEnergy
from twinjax.mechanics._sparsity import Sparsity
from twinjax.mechanics._springs import Springs
from twinjax.mechanics._volume import AbstractVolumeLaw, QuadraticVolume

PRESSURES = ("constant", "linear", "pointwise")


class Deformation(eqx.Module):
    """Where the wall is: `displacement` (node, 3) [mm], and its hydrostatic `pressure` [kPa].

    The pressure (cell, mode) is given by its coefficients of modes that are orthonormal in each
    cell; see [`Wall`][twinjax.mechanics.Wall].
    """

    displacement: Float[Array, "node 3"]
    pressure: Float[Array, "cell mode"]


class Motion(eqx.Module):
    """How a step in time sees its unknown u: velocity `rate` u + `drift`, acceleration `inertia` u.

    `rate` [1/ms], `drift` (node, 3) [mm/ms] and `inertia` [1/ms²]; the rest of the acceleration is
    a force, since it does not depend on u.
    """

    rate: Float[Array, ""]
    drift: Float[Array, "node 3"]
    inertia: Float[Array, ""]


class AbstractContraction(eqx.Module):
    """How the force along the fibre, over the area at rest, follows the fibre's stretch."""

    @abc.abstractmethod
    def near(self, stretch: Float[Array, "cell q"]) -> "Contraction":
        """A linear law with the same force and slope at these stretches.

        It is asked for at those of the wall each time that forces are evaluated.
        """

    @abc.abstractmethod
    def on(self, spread: Callable[[str, Array], Array]) -> "AbstractContraction":
        """With every entry in its full shape (cell, q), to which `spread(name, entry)` brings it.

        Raises `ValueError` for one that does not fit.
        """


class Contraction(AbstractContraction):
    """A force along the fibre over the area at rest, the first Piola-Kirchhoff stress [kPa]:

        force + stiffness (λ - stretch)

    at a stretch λ = |F f₀|. Its second Piola-Kirchhoff stress is that over λ, and Cauchy's λ / J
    times it. This is the convention of sarcomere models, whose tension is measured over the area at
    rest; `stiffness` [kPa] is how it follows the stretch within a step in time. Each entry is one
    number, one a cell (cell), or one at each point of quadrature (cell, q).
    """

    force: Float[Array, "*place"]
    stiffness: Float[Array, "*place"]
    stretch: Float[Array, "*place"]

    def __init__(self, force: Any, stiffness: Any = 0.0, stretch: Any = 1.0):
        self.force, self.stiffness = _array(force), _array(stiffness)
        self.stretch = _array(stretch)

    def potential(self, stretch: Any) -> Array:
        """Whose derivative by the stretch is that force."""
        return self.force * stretch + self.stiffness / 2 * (stretch - self.stretch) ** 2

    def near(self, stretch: Float[Array, "cell q"]) -> "Contraction":
        return self

    def on(self, spread: Callable[[str, Array], Array]) -> "Contraction":
        return Contraction(
            spread("force of the contraction", self.force),
            spread("stiffness of the contraction", self.stiffness),
            spread("stretch of the contraction", self.stretch),
        )


class Load(eqx.Module):
    """What acts on a wall.

    **Arguments:**

    - `pressure` [kPa] in the cavities of the wall: one number, or one for each (cavity). It pushes
      on the deformed surface, along its normal.
    - `tension` [kPa]: the active second Piola-Kirchhoff stress T f₀ ⊗ f₀ along the fibre at rest,
      one number, one a cell (cell), or one at each point of quadrature (cell, q). Cauchy's stress
      along the fibre is T λ² / J, and the force over the area at rest T λ, at a stretch λ.
    - `force` [mN] at nodes (node, 3), as `Quadratic.load` makes of a density; it keeps direction.
    - `displacement` [mm] (node, 3) of what is fixed; other entries have no effect.
    - `contraction`: a tension in the other convention, a
      [`Contraction`][twinjax.mechanics.Contraction] or another law of it; both may act.
    - `motion`, which `move` sets; without it inertia and viscosity have no effect.
    """

    pressure: Float[Array, "*cavity"]
    tension: Float[Array, "*place"]
    force: Float[Array, "*vector"]
    displacement: Float[Array, "*vector"]
    contraction: AbstractContraction | None
    motion: Motion | None

    def __init__(
        self,
        pressure: Any = 0.0,
        tension: Any = 0.0,
        *,
        force: Any = 0.0,
        displacement: Any = 0.0,
        contraction: AbstractContraction | None = None,
        motion: Motion | None = None,
    ):
        self.pressure = _array(pressure)
        self.tension = _array(tension)
        self.force = _array(force)
        self.displacement = _array(displacement)
        self.contraction = contraction
        self.motion = motion

    def on(self, wall: "Wall") -> "Load":
        """With every entry in its full shape. Raises `ValueError` for one that does not fit."""
        nodes, places = len(wall.elements.points), wall.frames.shape[:2]

        def spread(name: str, value: Array) -> Array:
            return _wide(name, value.reshape(-1, 1) if value.ndim == 1 else value, places)

        contraction = None if self.contraction is None else self.contraction.on(spread)
        return Load(
            _wide("pressure", self.pressure, (len(wall.cavities),)),
            spread("tension", self.tension),
            force=_wide("force", self.force, (nodes, 3)),
            displacement=_wide("displacement", self.displacement, (nodes, 3)),
            contraction=contraction,
            motion=self.motion,
        )

    def none(self, wall: "Wall") -> "Load":
        """No load, from which this one can grow."""
        contraction = None if self.contraction is None else Contraction(0.0)
        return Load(contraction=contraction).on(wall)


class Wall(eqx.Module):
    """A wall at rest: elements, an energy, axes of the tissue, and what holds it.

    **Arguments:**

    - `elements`: [`Quadratic`][twinjax.mechanics.Quadratic].
    - `energy`: an [`AbstractEnergy`][twinjax.mechanics.AbstractEnergy].
    - `frames`: columns are fibre, sheet and sheet normal, orthonormal and right-handed; one for
      the wall (3, 3), one a cell (cell, 3, 3) or one a point of quadrature (cell, q, 3, 3). By
      default x, y, z.
    - `volume`: the [law of volume](twinjax.mechanics.AbstractVolumeLaw), by default
      `QuadraticVolume()`.
    - `fixed`: which nodes (node), or which of their components (node, 3), are held.
    - `cavities`: tags of the surfaces on which a pressure acts, one a cavity.
    - `springs`: [`Springs`][twinjax.mechanics.Springs] on surfaces.
    - `density` [g/mL] and `viscosity` η [kPa·ms], of the stress η dE/dt, for walls that
      [`move`](twinjax.mechanics.move).
    - `across` κ: the share of an active tension that acts across the fibre too, T (f₀ ⊗ f₀ +
      κ (s₀ ⊗ s₀ + n₀ ⊗ n₀)) for T f₀ ⊗ f₀ (Usyk et al. 2000, J Elast 61:143, have transverse
      tension); a contraction then follows the stretch √(C : (f₀ ⊗ f₀ + …) - 2 κ), so that it has a
      potential and the stiffness is symmetric.
    - `pressures`: the hydrostatic pressure is `constant` in each cell, `linear` in it (in place,
      not in the element's own coordinates), or `pointwise`, which leaves displacements alone and
      suits compressible laws only, for else they lock. By default linear in hexahedra and
      constant in tetrahedra: there four pressures a cell are as many as displacements.

    Raises `ValueError` for shapes that do not fit, frames that are no axes, unknown tags or
    pressures, or a surface whose rim is not one closed line.
    """

    elements: Quadratic
    energy: AbstractEnergy
    frames: Float[Array, "cell q 3 3"]
    volume: AbstractVolumeLaw
    springs: tuple[Springs, ...]
    density: Float[Array, ""]
    viscosity: Float[Array, ""]
    across: Float[Array, ""]
    fixed: Bool[Array, "node 3"]
    cavities: tuple[Int[Array, "facet m"], ...]
    mouths: tuple[Int[Array, " node"], ...]
    slots: Int[Array, "cell n n"]
    pairs: Int[Array, "block 2"]
    spring_slots: tuple[Int[Array, "facet m m"], ...]
    cavity_slots: tuple[Int[Array, "facet m m"], ...]
    pressures: str = eqx.field(static=True)
    sparsity: Sparsity = eqx.field(static=True)

    def __init__(
        self,
        elements: Quadratic,
        energy: AbstractEnergy,
        *,
        frames: Any = None,
        volume: AbstractVolumeLaw | None = None,
        fixed: Any = None,
        cavities: Sequence[int] = (),
        springs: Sequence[Springs] = (),
        density: Any = 1.05,
        viscosity: Any = 0.0,
        across: Any = 0.0,
        pressures: str | None = None,
    ):
        nodes = len(elements.points)
        cells, corners = elements.cells.shape
        if pressures is None:
            pressures = "linear" if corners == 27 else "constant"
        if pressures not in PRESSURES:
            choices = ", ".join(PRESSURES)
            raise ValueError(f"unknown pressures '{pressures}'; valid choices: {choices}")
        held = np.zeros((nodes, 3), bool) if fixed is None else np.asarray(fixed, bool)
        if held.shape == (nodes,):
            held = np.repeat(held[:, None], 3, axis=1)
        if held.shape != (nodes, 3):
            raise ValueError(f"fixed has shape {held.shape}; valid: ({nodes},) or ({nodes}, 3)")
        places = len(elements.values())
        axes = np.eye(3) if frames is None else frames
        axes = axes if isinstance(axes, jax.Array) else np.asarray(axes, float)
        axes = axes[:, None] if axes.ndim == 3 else axes
        axes = _wide("frames", axes, (cells, places, 3, 3))
        _check_axes(axes)
        self.elements, self.energy, self.frames = elements, energy, axes
        self.volume = QuadraticVolume() if volume is None else volume
        self.springs = tuple(springs)
        self.density, self.viscosity = _array(density), _array(viscosity)
        self.across = _array(across)
        self.fixed = jnp.asarray(held)
        self.cavities = tuple(jnp.asarray(elements.surface(tag)) for tag in cavities)
        self.mouths = tuple(jnp.asarray(rim(elements.surface(tag))) for tag in cavities)
        self.pressures = pressures
        self.sparsity = Sparsity(np.asarray(elements.cells), held)
        self.slots = jnp.asarray(self.sparsity.slots)
        self.pairs = jnp.asarray(np.stack(np.divmod(self.sparsity.pairs, nodes), axis=1))
        self.spring_slots = tuple(self._slots(s.facets) for s in self.springs)
        self.cavity_slots = tuple(self._slots(c) for c in self.cavities)

    def _slots(self, facets: Array) -> Array:
        return jnp.asarray(self.sparsity.slots_of(np.asarray(facets)))

    def modes(self) -> int:
        """How many pressures a cell has."""
        return {"constant": 1, "linear": 4, "pointwise": self.frames.shape[1]}[self.pressures]

    def volumes(self, displacement: Float[Array, "node 3"]) -> Float[Array, " cavity"]:
        """Of each cavity [mm³]; a mouth is closed by a cone from the mean of its corners."""
        where = self.elements.points + displacement
        closed = zip(self.cavities, self.mouths, strict=True)
        return jnp.array(
            [
                cavity_volume(
                    where[facets], jnp.mean(where[mouth if len(mouth) else facets[:, 0]], 0)
                )
                for facets, mouth in closed
            ]
        ).reshape(len(self.cavities))

    def at_rest(self) -> Deformation:
        """The wall as it is without a load."""
        points = self.elements.points
        pressure = np.zeros((len(self.elements.cells), self.modes()), points.dtype)
        return Deformation(jnp.asarray(np.zeros(points.shape, points.dtype)), jnp.asarray(pressure))

    def check_held(self) -> None:
        """Raises `ValueError` if the wall can move as a rigid body; passes where it is traced."""
        known = (self.elements.points, self.fixed, *(s.stiffness for s in self.springs))
        if any(isinstance(leaf, jax.core.Tracer) for leaf in known):
            return
        with jax.ensure_compile_time_eval():  # also where something else is traced
            held = np.asarray(_rigid_stiffness(self))
        if np.linalg.eigvalsh(held)[0] < 1e-9:
            raise ValueError(
                "nothing holds the wall in its place: fix nodes, or add springs to a surface"
            )


@eqx.filter_jit
def _rigid_stiffness(wall: Wall) -> Float[Array, "6 6"]:
    """What holds the wall against three translations and three rotations, as shares."""
    points = wall.elements.points
    x = points - jnp.mean(points, axis=0, keepdims=True)
    x = x / jnp.max(jnp.abs(x))
    eye = jnp.broadcast_to(jnp.eye(3)[None], (len(x), 3, 3))
    turns = jnp.cross(eye, x[:, None])  # node, axis, component
    motions = jnp.concatenate([eye, turns], axis=1)
    held = jnp.where(wall.fixed[:, None], motions, 0.0)
    parts = [jnp.einsum("nmi,nki->mk", held, held)]
    for spring in wall.springs:
        here = motions[spring.facets]
        matrices = spring.matrices(points)
        parts.append(jnp.einsum("famj,fajbi,fbki->mk", here, matrices, here))
    greatest = [jnp.max(jnp.abs(part)) for part in parts]
    shares = [p / jnp.where(g > 0, g, 1.0) for p, g in zip(parts, greatest, strict=True)]
    return jnp.sum(jnp.stack(shares), axis=0)


def _wide(name: str, value: Array | np.ndarray, shape: tuple[int, ...]) -> Array:
    # NumPy where it can be done: each small operation of JAX is a program to be compiled.
    traced = isinstance(value, jax.core.Tracer)
    try:
        if traced:
            return jnp.broadcast_to(value, shape)
        return jnp.asarray(np.broadcast_to(np.asarray(value), shape))
    except ValueError:
        raise ValueError(f"{name} has shape {value.shape}, which does not fit {shape}") from None


def _array(value: Any) -> Array:
    return value if isinstance(value, jax.Array) else jnp.asarray(np.asarray(value, float))


def _check_axes(frames: Array) -> None:
    if isinstance(frames, jax.core.Tracer):
        return
    axes = np.asarray(frames)
    unit = np.abs(np.einsum("cqiA,cqiB->cqAB", axes, axes) - np.eye(3)).max() < 1e-6
    if not (unit and np.all(np.linalg.det(axes) > 0)):
        raise ValueError("frames must be orthonormal and right-handed: fibre, sheet, sheet normal")


def stretched(
    wall: Wall, slopes: Float[Array, "cell q n 3"], displacement: Float[Array, "node 3"]
) -> Float[Array, "cell q"]:
    """What sarcomeres see, by the slopes of the shape functions along the axes of the tissue."""
    turned = jnp.einsum("cai,cqaA->cqiA", displacement[wall.elements.cells], slopes)
    f, s, n = jnp.moveaxis(jnp.sum((wall.frames + turned) ** 2, axis=2), -1, 0)
    return jnp.sqrt(f + wall.across * (s + n - 2))
