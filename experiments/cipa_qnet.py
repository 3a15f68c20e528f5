"""The CiPA metric of proarrhythmic risk: qNet of the CiPA v1 cell against the figures of the FDA.

Model: Li et al. 2017, Circ Arrhythm Electrophysiol 10:e004628; Dutta et al. 2017, Front Physiol
8:616. qNet is the integral of INaL + ICaL + IKr + IKs + IK1 + Ito over a beat at a cycle length of
2 s. Reference: metrics published with the programs of the FDA for sotalol (fixed input) and for one
sample of azimilide's uncertain parameters, after 1000 beats from their initial state; without a
drug, the published equations rerun by CVODE at 1e-7. Drugs bind to hERG, and block INa, INaL and
ICaL by Hill's equation. Spec:

- qNet within 1e-4 of each figure;
- APD50 and APD90 within 1 ms where both are read from samples 1 ms apart.

The program ApPredict prints a qNet without drug that is 1.3e-4 above ours and CVODE's: told, not
judged. With --quick: three cases instead of six.

A thousand beats are not run: the periodic orbit with the same charge is found directly.
"""

import csv
import gzip
import json
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from twinjax.cells import (
    Binding,
    Block,
    CipaV1,
    Drug,
    Grid,
    Setting,
    beat_grid,
    biomarkers,
    even_grid,
    join,
    net_current,
    periodic,
    with_drug,
)

from ._report import Report, main
from ._shared import shared_path

FOLDER = "references/cipa"
CYCLE = 2000.0  # [ms]
BLOCKED = ("INa", "INaL", "ICaL")
BINDING = {"k_max": "Kmax", "k_u": "Ku", "n": "n", "half_max": "halfmax", "v_half": "Vhalf"}
# Our fields whose names are not the lower case of the reference's.
RENAMED = {
    "iF": "i_f",
    "iS": "i_s",
    "iFp": "i_fp",
    "iSp": "i_sp",
    "IObound": "io_bound",
    "Obound": "o_bound",
    "Cbound": "c_bound",
}
# (title in the reference, drug, multiple of its free therapeutic maximum)
CASES = (
    ("control (200 beats)", "none", 0.0),
    ("sotalol 0.16x optimal", "sotalol", 0.16),
    ("sotalol 0.96x", "sotalol", 0.96),
    ("sotalol 2.56x", "sotalol", 2.56),
    ("azimilide bootstrap sample 1, 1x", "azimilide", 1.0),
    ("azimilide bootstrap sample 1, 4x", "azimilide", 4.0),
)
QUICK = (0, 2, 4)


def initial_state() -> Any:
    """The state from which the FDA paces at a cycle length of 2 s."""
    lines = shared_path(f"{FOLDER}/cipa_newordherg_states_CL2000.txt").read_text().split("\n")
    values = dict(line.split() for line in lines if line.strip())
    del values["D"]  # the concentration, no state of ours
    fields = {RENAMED.get(name, name.lower()): float(value) for name, value in values.items()}
    return type(CipaV1().initial_state())(**fields)


def table() -> dict[str, dict[str, str]]:
    """The rows of the drug table, by drug."""
    with shared_path(f"{FOLDER}/cipa28_drug_parameters.csv").open(newline="") as file:
        return {row["drug"]: row for row in csv.DictReader(file)}


def drug_of(row: dict[str, str], binding: str, block: str, peak: float) -> Drug:
    """From a row whose columns begin with `binding` and `block`."""
    known = [current for current in BLOCKED if row[f"{block}{current}_IC50"]]
    return Drug(
        row["drug"],
        Block(
            {current: float(row[f"{block}{current}_IC50"]) for current in known},
            {current: float(row[f"{block}{current}_h"]) for current in known},
        ),
        Binding(**{ours: float(row[f"{binding}{theirs}"]) for ours, theirs in BINDING.items()}),
        peak,
    )


def drugs() -> dict[str, Drug]:
    """Sotalol with its optimal parameters; azimilide with the first of its samples."""
    rows = table()
    peaks = {name: float(row["cmax_free_nM"]) for name, row in rows.items()}
    samples = shared_path(f"{FOLDER}/cipa28_uncertainty_samples_chantest.csv.gz")
    with gzip.open(samples, "rt", newline="") as file:
        first = next(row for row in csv.DictReader(file) if row["drug"] == "azimilide")
    return {
        "none": Drug("none"),
        "sotalol": drug_of(rows["sotalol"], "hERGdyn_LabSpec2020_", "chantest_", peaks["sotalol"]),
        "azimilide": drug_of(first, "herg_", "", peaks["azimilide"]),
    }


def fine() -> Grid:
    """So fine while the cell is depolarised that qNet has five digits."""
    depolarised = beat_grid(700.0, 0.5, setting=Setting(0.0025, 20.0, 0.0625))
    return join([depolarised, even_grid(CYCLE - 700.0, 1.0)])


def run(quick: bool, report: Report) -> None:
    """Every case at once."""
    known = references()
    cases = [CASES[i] for i in QUICK] if quick else CASES
    in_table = drugs()
    cells = []
    for _, name, multiple in cases:
        drug = in_table[name]
        cells.append(
            CipaV1() if name == "none" else with_drug(CipaV1(), drug, multiple * drug.peak)
        )
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *cells)
    state = initial_state()
    states = jax.tree.map(lambda x: jnp.full(len(cases), x), state)
    grid = fine()
    found, beats = orbits(batch, states, grid)
    for i, (title, _, _) in enumerate(cases):
        row = known[title]
        source = f"{row['source']}; {len(grid.lengths)} steps"
        qnet = float(found["qnet"][i])
        report.relative(
            f"qNet, {title}",
            qnet,
            row["qnet"],
            1e-4,
            unit="C/F",
            source=source,
        )
        if "elsewhere" in row:
            report.information(
                f"qNet, {title}, ApPredict",
                qnet,
                reference=row["elsewhere"],
                unit="C/F",
                source=f"another program; apart by {qnet / row['elsewhere'] - 1:.2g}",
            )
        for percent in (50, 90):
            report.absolute(
                f"APD{percent} on samples, {title}",
                sampled_duration(np.asarray(found["v"][i]), percent),
                row[f"apd{percent}"],
                1.0,
                unit="ms",
                source=f"{row['source']}; continuous: {float(found[f'apd{percent}'][i]):.2f}",
            )
    report.information("beats to the orbit", float(jnp.max(beats)), unit="1", source="of all cases")


def references() -> dict[str, dict[str, Any]]:
    """Figures and their sources by case."""
    path = shared_path(f"{FOLDER}/cipa_exact_reproduction_check.json")
    known: dict[str, dict[str, Any]] = {}
    published = ""
    for row in json.loads(path.read_text())["rows"]:
        published = row.get("ref", published)  # named once for rows of one source
        known[row["case"]] = {
            "qnet": row["qNet_ref"],
            "apd50": row.get("APD50_ref", row.get("APD50")),
            "apd90": row.get("APD90_ref", row.get("APD90")),
            "source": published,
        }
        if "control" in row["case"]:
            known[row["case"]] |= {
                "qnet": row["qNet_mine"],
                "elsewhere": row["qNet_ref"],
                "source": "Myokit, CVODE at 1e-7",
            }
    return known


def sampled_duration(v: np.ndarray, percent: int) -> float:
    """APD [ms] of a potential at whole milliseconds, start and end being samples.

    From the start of the steepest millisecond to the first sample below the level after the peak.
    """
    peak = int(np.argmax(v))
    level = v[peak] - percent / 100 * (v[peak] - v[0])
    end = peak + int(np.argmax(v[peak:] <= level))
    return float(end - int(np.argmax(np.diff(v))))


@eqx.filter_jit
def orbits(cells: Any, states: Any, grid: Grid) -> tuple[dict[str, Any], Any]:
    """Biomarkers and the potential at whole milliseconds; beats to the orbits."""

    def one(cell: CipaV1, state: Any) -> tuple[dict[str, Any], Any]:
        orbit = periodic(cell, state=state, grid=grid, record=net_current, rtol=1e-7)
        v = jnp.interp(jnp.arange(CYCLE), orbit.times, orbit.observations["v"])
        return biomarkers(orbit) | {"v": v}, orbit.stats["beats"]

    return eqx.filter_vmap(one)(cells, states)


if __name__ == "__main__":
    main(run, name="cipa_qnet")
