"""Rows for models that have no reference set: numbers of other programs, and as papers give them.

- Bueno-Orovio 2008: durations at 1 Hz of its table of tissue values, 269, 260 and 410 ms, as the
  README of ramenprotokol/arrhythmia-lab (GitHub) quotes them; a single cell is not tissue: 2 %.
- Grandi 2010 (epicardium): the state to which Myokit's file (github.com/myokit/models,
  c/grandi-2010.mmt) was paced at 1 Hz with 40 A/F for 1 ms, against the periodic orbit: 0.1 %.
- O'Hara-Rudy 2011 (M): the state of Alya at a cycle of 857 ms (exm_iniohr.f90, in the comments;
  github.com/absrocks/Alya-parallel-level), beats and stimulus not told, against 1,000 beats: 0.5 %.
  The same file's endocardium shows how far apart two programs are that agree otherwise.
"""

from typing import Any

from twinjax.cells import DEFAULT, MODELS, beat_grid, biomarkers, pace, periodic

from ._report import Report

UNITS = {"v": "mV", "jrelnp": "mM/ms"} | dict.fromkeys(("nai", "ki", "cai", "cansr", "cajsr"), "mM")
UNITS |= dict.fromkeys(("m", "hf", "xs1"), "1")
TISSUE = {"epi": 269.0, "endo": 260.0, "m": 410.0}
GRANDI = {"v": -81.36804, "nai": 8.191262, "cai": 8.95698e-5}
ALYA: dict[str, dict[str, float]] = {
    "endo": {
        "nai": 7.50131413867337,
        "ki": 144.397336592521,
        "cai": 9.06297090590454e-5,
        "cansr": 1.70096618787449,
    },
    "m": {
        "nai": 9.31318571775255,
        "ki": 142.448454117416,
        "cai": 1.09610482790345e-4,
        "cansr": 2.55909692264644,
        "cajsr": 2.46618898848524,
        "jrelnp": 1.89377036465905e-6,
        "m": 0.00762063517901599,
        "hf": 0.685227812017847,
        "xs1": 0.365366368645388,
    },
}


def compare_published(report: Report) -> None:
    """All of them: a minute."""
    for region, duration in TISSUE.items():
        cell = MODELS[f"bueno-orovio-2008-{region}"]()
        report.relative(
            f"bueno-orovio-2008-{region}: APD90",
            float(biomarkers(pace(cell, beats=30))["apd90"]),
            duration,
            0.02,
            unit="ms",
            source="the paper's tissue, as quoted",
        )
    cell = MODELS["grandi-2010-epi"]()
    grid = beat_grid(1000.0, 1.0, setting=DEFAULT.within(cell))
    orbit = periodic(cell, grid=grid, amplitude=-40.0)
    _compare_states(report, "grandi-2010-epi", orbit.state, GRANDI, 1e-3, "Myokit's file")
    grid = beat_grid(857.0, 0.5)
    for region, known in ALYA.items():
        late = pace(MODELS[f"ohara-rudy-2011-{region}"](), beats=1000, grid=grid)
        _compare_states(report, f"ohara-rudy-2011-{region}", late.state, known, 5e-3, "Alya")


def _compare_states(
    report: Report, model: str, state: Any, known: dict[str, float], tolerance: float, source: str
) -> None:
    for name, value in known.items():
        ours = float(getattr(state, name))
        report.relative(
            f"{model}: {name} at the start", ours, value, tolerance, unit=UNITS[name], source=source
        )
