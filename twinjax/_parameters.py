"""Parameters with unit, bounds, prior and citation, and the spaces they are fitted in."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float

from twinjax import units
from twinjax._names import unknown_name


@dataclasses.dataclass(frozen=True)
class Prior:
    """A normal distribution of a quantity or, where `log`, of its natural logarithm."""

    loc: float
    scale: float
    log: bool

    @staticmethod
    def normal(mean: float, sd: float) -> "Prior":
        return Prior(mean, sd, log=False)

    @staticmethod
    def lognormal(median: float, spread: float) -> "Prior":
        """`spread` is the SD of the logarithm: 0.3 is about 30 %."""
        return Prior(float(np.log(median)), spread, log=True)


@dataclasses.dataclass(frozen=True)
class ParameterInfo:
    """What is known of a parameter before any measurement."""

    default: float
    unit: str
    bounds: tuple[float, float]
    prior: Prior | None
    cite: str


def _scalar(value: Any) -> Any:
    # Tracers, arrays and the placeholders that tree transformations put into leaves pass through.
    return jnp.asarray(value, dtype=float) if isinstance(value, (int, float)) else value


def parameter(
    default: float,
    *,
    unit: str,
    bounds: tuple[float, float],
    prior: Prior | None = None,
    cite: str,
) -> Any:
    """An Equinox field that holds a physical number in which persons differ.

    **Arguments:** `unit` is a name that `twinjax.units` knows; `bounds` are the interval of
    values that make sense; `prior` is the spread in adults; `cite` says where the numbers come
    from. Raises `ValueError` for an unknown unit, empty bounds, or a default outside them.
    """
    low, high = bounds
    if not low < high:
        raise ValueError(f"the bounds of a parameter are empty: {low} is not below {high}")
    if not low <= default <= high:
        raise ValueError(f"the default {default} of a parameter is outside [{low}, {high}]")
    if prior is not None and prior.log and not low > 0:
        raise ValueError(f"a lognormal prior needs bounds above 0, not {low}")
    info = ParameterInfo(default, units.normalise(unit), bounds, prior, cite)
    return eqx.field(
        default_factory=lambda: _scalar(default),
        converter=_scalar,
        metadata={"parameter": info},
    )


def component(cls: type, **specific: Any) -> Any:
    """A field that holds a component, with what is specific to its place in the model.

    `left_ventricle: AbstractChamber = component(ElastanceChamber, active_elastance=parameter(...))`
    builds the component with the given defaults; their units must be those of the component.
    """
    infos = {name: field.metadata["parameter"] for name, field in specific.items()}
    own = _own(cls)
    for name, info in infos.items():
        if name not in own:
            raise TypeError(unknown_name(f"parameter of {cls.__name__}", name, own))
        if info.unit != own[name].unit:
            raise TypeError(f"{cls.__name__}.{name} has unit '{own[name].unit}', not '{info.unit}'")
    defaults = {name: info.default for name, info in infos.items()}
    return eqx.field(
        default_factory=functools.partial(cls, **defaults), metadata={"specific": infos}
    )


def _is_parameter(field: dataclasses.Field) -> bool:
    return "parameter" in field.metadata


def _own(model: Any) -> dict[str, ParameterInfo]:
    """Parameters of a class or an instance, without those of its components."""
    fields = dataclasses.fields(model)
    return {f.name: f.metadata["parameter"] for f in fields if _is_parameter(f)}


def set_parameters(
    model: eqx.Module, variant: Mapping[str, float], given: Mapping[str, Any]
) -> None:
    """Sets every parameter in the `__init__` of a model that has variants.

    Each is what is given, else what the variant has, else its default. Raises `TypeError` for a
    name that is no parameter.
    """
    own = _own(model)
    for name in given:
        if name not in own:
            raise TypeError(unknown_name(f"parameter of {type(model).__name__}", name, own))
    for name, info in own.items():
        setattr(model, name, given.get(name, variant.get(name, info.default)))


def parameters_of(model: eqx.Module) -> dict[str, ParameterInfo]:
    """Every parameter of a model by its path, such as `left_ventricle.active_elastance`."""
    found = {}
    for field in dataclasses.fields(model):
        value = getattr(model, field.name)
        if _is_parameter(field):
            found[field.name] = field.metadata["parameter"]
        elif isinstance(value, eqx.Module):
            specific = field.metadata.get("specific", {})
            for name, info in parameters_of(value).items():
                found[f"{field.name}.{name}"] = specific.get(name, info)
    return found


def _leaf(model: Any, path: str) -> Any:
    return functools.reduce(getattr, path.split("."), model)


class ParameterSpace(eqx.Module):
    """A chosen set of parameters of a model, as a vector.

    Physical values `theta` (in the parameters' units) correspond one to one to `z`, in which
    the prior is standard normal: with t = theta or log theta, prior N(loc, scale²) truncated to
    the bounds,

        t = loc + scale Φ⁻¹(Φ(a) + Φ(z) (Φ(b) - Φ(a))),

    a and b being the standardised bounds. A parameter without a prior is uniform within bounds.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    info: tuple[ParameterInfo, ...] = eqx.field(static=True)

    def __init__(self, model: eqx.Module, names: Sequence[str]):
        """Raises `ValueError` for an unknown or repeated name, or none at all."""
        known = parameters_of(model)
        if not names:
            raise ValueError("a parameter space needs the name of at least one parameter")
        for name in names:
            if name not in known:
                raise ValueError(unknown_name("parameter", name, known))
        if len(set(names)) < len(names):
            twice = next(name for name in names if list(names).count(name) > 1)
            raise ValueError(f"parameter '{twice}' is named twice")
        self.names = tuple(names)
        self.info = tuple(known[name] for name in names)

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        if name not in self.names:
            raise ValueError(unknown_name("parameter", name, self.names))
        return self.names.index(name)

    @property
    def units(self) -> tuple[str, ...]:
        return tuple(info.unit for info in self.info)

    @property
    def bounds(self) -> np.ndarray:
        """Shape (n, 2), lower and upper."""
        return np.array([info.bounds for info in self.info], dtype=float)

    def read(self, model: eqx.Module) -> Float[Array, " n"]:
        """The parameters of the model, in their units."""
        return jnp.stack([jnp.asarray(_leaf(model, name), dtype=float) for name in self.names])

    def write(self, model: eqx.Module, theta: Float[Array, " n"]) -> Any:
        """A model with these parameters; the given one is unchanged."""
        if theta.shape != (len(self),):
            raise ValueError(f"theta needs shape ({len(self)},), one a name, not {theta.shape}")
        return eqx.tree_at(
            lambda m: [_leaf(m, name) for name in self.names],
            model,
            [theta[i] for i in range(len(self.names))],
        )

    def contains(self, theta: Float[Array, "... n"]) -> Array:
        """Whether every value lies within its bounds; shape (...)."""
        low, high = self.bounds.T.reshape(2, *(1,) * (theta.ndim - 1), len(self))
        return jnp.all((theta >= low) & (theta <= high), axis=-1)

    def from_unconstrained(self, z: Float[Array, " n"]) -> Float[Array, " n"]:
        """Physical values of a standard-normal vector."""
        s = self._standard()
        # Beyond 7 SD the distribution function has no digits left to invert.
        level = s["low"] + ndtr(jnp.clip(z, -7.0, 7.0)) * (s["high"] - s["low"])
        t = jnp.where(
            s["uniform"],
            s["loc"] + s["scale"] * level,
            s["loc"] + s["scale"] * ndtri(jnp.clip(level, 1e-15, 1 - 1e-15)),
        )
        return jnp.where(s["log"], jnp.exp(jnp.where(s["log"], t, 0.0)), t)

    def to_unconstrained(self, theta: Float[Array, " n"]) -> Float[Array, " n"]:
        """The inverse; values on or outside their bounds are infinite or NaN."""
        s = self._standard()
        t = jnp.where(s["log"], jnp.log(jnp.where(s["log"], theta, 1.0)), theta)
        x = (t - s["loc"]) / s["scale"]
        level = (jnp.where(s["uniform"], x, ndtr(x)) - s["low"]) / (s["high"] - s["low"])
        return ndtri(level)

    def sample_prior(self, key: Array, n: int) -> Float[Array, "draws n"]:
        """Draws of the prior, in the parameters' units."""
        z = jax.random.normal(key, (n, len(self)))
        return jax.vmap(self.from_unconstrained)(z)

    def _standard(self) -> dict[str, np.ndarray]:
        rows = []
        for info in self.info:
            low, high = info.bounds
            if info.prior is None:
                rows.append((low, high - low, False, True, 0.0, 1.0))
                continue
            p = info.prior
            a, b = (np.log(info.bounds) if p.log else np.array([low, high])) - p.loc
            low_level, high_level = (NormalDist().cdf(end / p.scale) for end in (a, b))
            rows.append((p.loc, p.scale, p.log, False, low_level, high_level))
        keys = ("loc", "scale", "log", "uniform", "low", "high")
        return {
            k: np.array(column) for k, column in zip(keys, zip(*rows, strict=True), strict=True)
        }
