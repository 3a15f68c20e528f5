"""Block of currents against concentration: Hill curves with posteriors from single recordings."""

import csv
import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from training._hill_density import HillDensity, densities
from training.infer import diagnose, nuts, warnings_of
from twinjax._names import unknown_name
from twinjax.cells import Block

Pair = tuple[str, str]  # drug, current
Recording = tuple[Float[np.ndarray, "_"], Float[np.ndarray, "_"]]  # concentrations, block

# An IC50 that lies more than this factor outside the concentrations rests on the prior.
_REACH = 10.0
# With h = 1 a block of 20 % puts the IC50 at four times the concentration; less is hardly block.
_SEEN = 20.0  # [%]

_COLUMNS = ("drug", "conc", "units", "channel", "block")
_UNITS = {"nM": 1.0, "uM": 1e3, "µM": 1e3, "mM": 1e6}
_MISSING = ("", "NA")
_CURRENTS = {"hERG": "IKr"}


@dataclasses.dataclass(frozen=True)
class HillData:
    """Recordings of drugs and currents: by pair, concentrations [nM] and block [%] of its cells.

    Both have shape (cells,). Block below 0 and above 100 % is noise, and is kept: cut off, it
    would bias the curve.

    Raises `ValueError` for a pair without data, shapes that differ, a concentration that is not
    positive and a block that is not a finite number.
    """

    recordings: Mapping[Pair, Recording]

    def __post_init__(self) -> None:
        if not self.recordings:
            raise ValueError("there are no recordings to fit")
        for (drug, current), (concentrations, block) in self.recordings.items():
            what = f"of {drug} on {current}"
            if len(block) == 0:
                raise ValueError(f"there are no recordings {what}")
            if len(concentrations) != len(block):
                raise ValueError(
                    f"{len(concentrations)} concentrations {what}, but {len(block)} blocks"
                )
            for value in concentrations:
                if not (np.isfinite(value) and value > 0):
                    raise ValueError(f"a concentration {what} must be positive, not {value:g} nM")
            if not np.all(np.isfinite(block)):
                raise ValueError(f"a block {what} is not a finite number")

    @property
    def drugs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(drug for drug, _ in self.recordings))

    def select(
        self, drugs: Iterable[str] | None = None, currents: Iterable[str] | None = None
    ) -> "HillData":
        """The pairs of these drugs and currents, all by default.

        Raises `ValueError` for a drug of which there are no data, and for a current that was not
        recorded with any of them.
        """
        names = self.drugs if drugs is None else tuple(drugs)
        for name in names:
            if name not in self.drugs:
                raise ValueError(f"no data: {unknown_name('drug', name, self.drugs)}")
        found = [current for drug, current in self.recordings if drug in names]
        kept = found if currents is None else tuple(currents)
        for current in kept:
            if current not in found:
                raise ValueError(f"no data: {unknown_name('current', current, set(found))}")
        return HillData(
            {
                (drug, current): cells
                for (drug, current), cells in self.recordings.items()
                if drug in names and current in kept
            }
        )


def read_blocks(*paths: str | Path) -> HillData:
    """Recordings from CSV files with the columns drug, conc, units, channel and block.

    A row is a cell at a concentration (`units`: nM, uM or mM) and the block of its current in
    percent; hERG is read as `IKr`. A row whose block is empty or NA is left out, other columns are
    ignored. Several files are pooled.

    Raises `ValueError` with the file, and the row as a spreadsheet counts it.
    """
    rows: dict[Pair, list[tuple[float, float]]] = {}
    for path in map(Path, paths):
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            _check_columns(path.name, columns)
            for row in reader:
                where = f"{path.name}, row {reader.line_num}"
                values = [*row.values()]
                if None in row or None in values:
                    given = sum(value is not None for value in values)
                    raise ValueError(f"{where} has {given} values for {len(columns)} columns")
                for name in ("drug", "channel"):
                    if not row[name].strip():
                        raise ValueError(f"{where}: no {name} is named")
                if row["block"].strip() in _MISSING:
                    continue
                if row["units"] not in _UNITS:
                    raise ValueError(f"{where}: {unknown_name('unit', row['units'], _UNITS)}")
                concentration = _number(row, "conc", where) * _UNITS[row["units"]]
                if concentration <= 0:
                    raise ValueError(
                        f"{where}: the concentration must be positive, not {row['conc']}"
                    )
                pair = (row["drug"], _CURRENTS.get(row["channel"], row["channel"]))
                rows.setdefault(pair, []).append((concentration, _number(row, "block", where)))
    if not rows:
        names = ", ".join(Path(path).name for path in paths)
        raise ValueError(f"there are no recordings in {names or 'no file'}")
    cells = {pair: np.asarray(values) for pair, values in rows.items()}
    return HillData({pair: (values[:, 0], values[:, 1]) for pair, values in cells.items()})


def _check_columns(file: str, columns: Sequence[str]) -> None:
    for name in _COLUMNS:
        if name not in columns:
            for near in difflib.get_close_matches(name, columns, n=1):
                raise ValueError(f"{file}: {unknown_name('column', near, _COLUMNS)}")
            raise ValueError(f"{file} has no column '{name}'; it needs {', '.join(_COLUMNS)}")


def _number(row: Mapping[str, str], column: str, where: str) -> float:
    try:
        value = float(row[column])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where}: {column} is no number: '{row[column]}'")
    return value


@dataclasses.dataclass(frozen=True)
class HillFit:
    """Draws of the posterior of one drug on one current, equally weighted.

    `ic50` [nM], `h` and `sd` (of the residuals, [%]) have shape (samples,). `doubt` says why the
    recordings do not tell an IC50, and is empty where they do. `diagnostics`: `rhat` and `ess` of
    the worst parameter, `divergences`; `warnings` where these are bad.
    """

    ic50: Float[np.ndarray, " samples"]
    h: Float[np.ndarray, " samples"]
    sd: Float[np.ndarray, " samples"]
    doubt: str
    diagnostics: dict[str, float]
    warnings: tuple[str, ...]

    @property
    def identified(self) -> bool:
        return not self.doubt

    def median(self) -> dict[str, float]:
        """Medians of `ic50`, `h` and `sd`."""
        return {name: float(np.median(getattr(self, name))) for name in ("ic50", "h", "sd")}

    def interval(self, share: float = 0.95) -> dict[str, tuple[float, float]]:
        """Central intervals of `ic50`, `h` and `sd` with a share of the posterior."""
        levels = ((1 - share) / 2, (1 + share) / 2)
        found = {}
        for name in ("ic50", "h", "sd"):
            low, high = np.quantile(getattr(self, name), levels)
            found[name] = (float(low), float(high))
        return found


@dataclasses.dataclass(frozen=True)
class HillPosterior:
    """The posterior of every pair of drug and current."""

    fits: Mapping[Pair, HillFit]

    def of(self, drug: str, current: str) -> HillFit:
        """Raises `ValueError` for a pair that was not fitted."""
        currents = self._currents(drug)
        if current not in currents:
            raise ValueError(unknown_name(f"current of {drug}", current, currents))
        return self.fits[drug, current]

    def block(self, drug: str) -> Block:
        """A `Block` whose numbers have shape (samples,): map over them for a virtual trial.

        Draw i takes draw i of every current: they were recorded in different cells, so that their
        posteriors are independent. Raises `ValueError` for a drug that was not fitted.
        """
        currents = self._currents(drug)
        return Block(
            {current: jnp.asarray(self.fits[drug, current].ic50) for current in currents},
            {current: jnp.asarray(self.fits[drug, current].h) for current in currents},
        )

    def _currents(self, drug: str) -> list[str]:
        currents = [current for name, current in self.fits if name == drug]
        if not currents:
            raise ValueError(unknown_name("drug", drug, {name for name, _ in self.fits}))
        return currents


def fit_hill(
    data: HillData,
    *,
    samples: int = 2000,
    chains: int = 4,
    warm_up: int = 300,
    thinning: int = 2,
    seed: int = 0,
) -> HillPosterior:
    """The posterior of IC50, Hill coefficient and residual SD of every pair, all pairs at once.

    Recording i, at the concentration cᵢ, has the block

        bᵢ = 100 / (1 + (IC50 / cᵢ)ʰ) + SD·εᵢ,  εᵢ ~ N(0, 1)

    and ln IC50, h and SD have uniform priors: IC50 from 1e-10 to 1e10 nM, h from 0.5 to 2, SD up to
    50 %: Chang et al. 2017, Front Physiol 8:917, with the bounds of the programs that the FDA
    published for its CiPA model in 2020. Theirs let the SD go to 0, ours to 0.03 %, that of
    rounding to 0.1 %: identical blocks would have an infinite density otherwise. Sampled with NUTS
    in coordinates without bounds, in which the priors become logistic.

    Where no block is seen the posterior of the IC50 reaches up to the bound of its prior, and its
    median tells of that bound only: see `HillFit.doubt`.

    **Arguments:** `samples` in all, spread over `chains`; of each chain every `thinning`-th state
    is kept. Computed in JAX's default precision. Raises `ValueError` for a count below 1.
    """
    for name, count in (
        ("samples", samples),
        ("chains", chains),
        ("warm_up", warm_up),
        ("thinning", thinning),
    ):
        if count < 1:
            raise ValueError(f"{name} must be at least 1, not {count}")
    pairs = list(data.recordings)
    targets = densities(list(data.recordings.values()))
    keys = jax.random.split(jax.random.key(seed), 2 * len(pairs)).reshape(2, len(pairs))
    # About as wide as the priors of h and the SD, and as the posterior of the IC50.
    starts = jax.vmap(lambda key: jax.random.normal(key, (chains, 3)))(keys[0])
    per_chain = -(-samples // chains)
    paths, divergent = _paths(targets, keys[1], starts, warm_up, thinning * per_chain)
    kept = eqx.filter_vmap(lambda target, w: jax.vmap(jax.vmap(target.parameters))(w))(
        targets, paths[:, :, ::thinning]
    )
    log_ic50, h, sd = (np.asarray(x).reshape(len(pairs), -1)[:, :samples] for x in kept)
    fits = {}
    for i, pair in enumerate(pairs):
        diagnostics = diagnose(np.asarray(paths[i]), np.asarray(divergent[i]))
        ic50 = np.exp(log_ic50[i])
        doubt = _doubt(*data.recordings[pair], ic50)
        fits[pair] = HillFit(ic50, h[i], sd[i], doubt, diagnostics, warnings_of(diagnostics))
    return HillPosterior(fits)


def _doubt(concentrations: np.ndarray, block: np.ndarray, ic50: np.ndarray) -> str:
    means = [np.mean(block[concentrations == c]) for c in np.unique(concentrations)]
    low, high = np.quantile(ic50, (0.025, 0.975))
    least, most = np.min(concentrations), np.max(concentrations)
    if max(means) < _SEEN:
        return f"no block seen: at most {max(means):.0f} % on average at a concentration"
    if high > _REACH * most:
        return f"the IC50 may lie far above the highest concentration, {most:g} nM"
    if low < least / _REACH:
        return f"the IC50 may lie far below the lowest concentration, {least:g} nM"
    return ""


@eqx.filter_jit
def _paths(
    targets: HillDensity, keys: Array, starts: Array, warm_up: int, draws: int
) -> tuple[Array, Array]:
    def one(target: HillDensity, key: Array, starts: Array) -> tuple[Array, Array]:
        return nuts(target, key, starts, warm_up, draws)

    return eqx.filter_vmap(one)(targets, keys, starts)
