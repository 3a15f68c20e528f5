"""Draws every cell model and measures it against the reference data: `python -m docs.draw_cells`.

Writes `images/cells.png`, and the table of `cells.md` between its two markers. Where the reference
data are absent (see CONTRIBUTING.md) their columns stay empty.
"""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments._reference_cells import checkpoints, names_with_reference, worst
from experiments._shared import ReferenceAbsent, shared_path
from tests.cells.test_checkpoints import POINTS, cell_of
from training._application import configure
from training._cell_run import Run, run_cell
from training.cli._output import progress_bar, replacing
from twinjax.cells import MODELS, AbstractCell

DOCS = Path(__file__).resolve().parent
_DEFAULT_FIT = "modified-beeler-reuter"
TESTS = DOCS.parent / "tests" / "cells"
FIGURE, PAGE = DOCS / "images" / "cells.png", DOCS / "cells.md"
MARKERS = "<!-- table: begin -->", "<!-- table: end -->"
FOLDER = "references/cells"
BEATS, SECONDS = 10, 12  # of paced cells; of those that beat by themselves
COLUMNS = 4
# Variants of one equation set share a panel.
_VARIANT = re.compile(r"-(epi|endo|m|mid|paced|spontaneous)$")
_COLOURS = {"endo": "#2166ac", "m": "#1b7837", "mid": "#1b7837", "epi": "#b2182b"}
_ALONE = "#333333"
_TISSUES = ("ventricle", "atrium", "purkinje", "sino")


@dataclasses.dataclass(frozen=True)
class Checked:
    """What a model was compared with, and how far off it was."""

    source: str
    derivative: float | None = None
    duration: str = ""


def main() -> None:
    """Runs every listed model, then writes the figure and the table."""
    configure()
    runs, checked = {}, {}
    with progress_bar() as update:
        for done, name in enumerate(MODELS):
            update(name, done, len(MODELS))
            spontaneous = MODELS[name]().about.stimulus is None
            runs[name] = run_cell(name, beats=SECONDS if spontaneous else BEATS)
            checked[name] = check(runs[name])
    draw(runs)
    tabulate(runs, checked)


def check(run: Run) -> Checked:
    """The model beside its folder of reference data, or the tests of what its paper prints."""
    name = run.model
    # Of several fits of one model the listed one is the default.
    key = next((k for k in POINTS if k in (name, f"{name} {_DEFAULT_FIT}")), None)
    if key is not None:
        source = POINTS[key]["source"].removeprefix("github.com/").split(",")[0]
        return Checked(f"{source}, `test_checkpoints.py`", _worst_of(key))
    if name not in names_with_reference():
        return Checked(_tests(name, run.cell))
    try:
        facts = shared_path(f"{FOLDER}/{name}/facts.json")
        known = json.loads(shared_path(f"{FOLDER}/{name}/biomarkers.json").read_text())
    except ReferenceAbsent:
        return Checked("reference data absent")
    errors = []
    for state, slopes in checkpoints(facts, name, run.cell):
        ours = run.cell.derivatives(jax.tree.map(jnp.asarray, state), 0.0)
        errors.append(worst(ours, slopes)[1])
    # Rhythms drift apart by phase, so that only their period can be compared.
    own, theirs, what = (
        ("cycle_length", "cycle_length_ms", "cycle ")
        if run.cycle is None
        else ("apd90", "APD90_ms", "")
    )
    error = run.scalars[own] - known[theirs]
    origin = json.loads(facts.read_text())["source"].split(" ")[0].removeprefix("github.com/")
    return Checked(f"CVODE of {origin.split('@')[0]}", max(errors), f"{what}{error:+.2f} ms")


def _worst_of(name: str) -> float:
    """Of the derivatives that independent programs give, which the tests hold."""
    cell, errors = cell_of(name), []
    kind = type(cell.initial_state())
    for point in POINTS[name]["points"]:
        ours = cell.derivatives(jax.tree.map(jnp.asarray, kind(**point["state"])), 0.0)
        errors.append(worst(ours, kind(**point["derivatives"]))[1])
    return max(errors)


def _tests(name: str, cell: AbstractCell) -> str:
    """A variant's sibling that has reference data, and the tests of the model's own numbers."""
    cls, stem = type(cell), _VARIANT.sub("", name)
    siblings = [n for n in names_with_reference() if _VARIANT.sub("", n) == stem]
    found = [f"equations as `{siblings[0]}`"] if siblings else []
    module = cls.__module__.rpartition(".")[2].strip("_")
    for path in sorted(TESTS.glob("test_*.py")):
        own = module.startswith(path.stem.removeprefix("test_"))
        text = path.read_text("utf-8") if path.stem == "test_published" else ""
        if own or cls.__name__ in text or name.replace("-", "_") in text:
            found.append(f"`{path.name}`")
    return ", ".join(found) or "rates finite from -120 to 80 mV"


def panels(runs: dict[str, Run]) -> list[tuple[str, dict[str, Run]]]:
    """Stem and variants of each panel, by tissue, species and year."""
    grouped: dict[tuple[str, bool], dict[str, Run]] = {}
    for name, run in runs.items():
        variant = _VARIANT.search(name)
        grouped.setdefault((_VARIANT.sub("", name), run.cycle is None), {})[
            variant.group(1) if variant else ""
        ] = run

    def order(item: tuple[tuple[str, bool], dict[str, Run]]) -> tuple[Any, ...]:
        (stem, _), variants = item
        one = next(iter(variants.values()))
        about = one.cell.about
        tissue = about.tissue.lower()
        rank = next((i for i, t in enumerate(_TISSUES) if tissue.startswith(t)), len(_TISSUES))
        year = re.search(r"\d{4}", f"{stem} {about.cite}")
        human = about.species == "human"
        return rank, not human, year.group() if year else "", stem

    return [(key[0], variants) for key, variants in sorted(grouped.items(), key=order)]


def draw(runs: dict[str, Run]) -> None:
    """Potential above calcium, one panel an equation set; those without calcium in lower rows."""
    shown = panels(runs)
    blocks = [[p for p in shown if _has_calcium(p[1]) is has] for has in (True, False)]
    lines = [
        (block[i : i + COLUMNS], height)
        for block, height in zip(blocks, (2.45, 1.9), strict=True)
        for i in range(0, len(block), COLUMNS)
    ]
    total = sum(height for _, height in lines)
    style = {
        "font.size": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(11, total))
        above = 0.0
        for line, height in lines:
            # Inches from the row's edges: the titles above, the time axis below.
            grid = figure.add_gridspec(
                1,
                COLUMNS,
                left=0.06,
                right=0.985,
                top=1 - (above + 0.48) / total,
                bottom=1 - (above + height - 0.4) / total,
                wspace=0.3,
            )
            above += height
            for place, (stem, variants) in zip(grid, line, strict=False):
                _place(figure, place, stem, variants)
        with replacing(FIGURE) as temporary:
            figure.savefig(temporary, dpi=150)


def _has_calcium(variants: dict[str, Run]) -> bool:
    return "cai" in next(iter(variants.values())).waves


def _place(figure: Figure, place: Any, stem: str, variants: dict[str, Run]) -> None:
    if _has_calcium(variants):
        inner = place.subgridspec(2, 1, height_ratios=(2.1, 1), hspace=0.12)
        upper = figure.add_subplot(inner[0])
        lower = figure.add_subplot(inner[1], sharex=upper)
        upper.tick_params(labelbottom=False)
    else:
        upper, lower = figure.add_subplot(place), None
    _panel(upper, lower, variants)
    _head(upper, stem, variants)
    if place.colspan.start == 0:
        upper.set_ylabel("V [mV]")
        if lower is not None:
            lower.set_ylabel("Ca [µM]")


def _panel(upper: Any, lower: Any, variants: dict[str, Run]) -> None:
    one = next(iter(variants.values()))
    spontaneous = one.cycle is None
    for variant, run in variants.items():
        colour = _COLOURS.get(variant, _ALONE)
        keep = slice(None)
        time = run.time
        if spontaneous:
            # The last three seconds; every twentieth node is enough for a line.
            keep = slice(int(np.searchsorted(time, time[-1] - 3000)), None, 10)
            time = time[keep] - time[keep][0]
        label = "M" if variant in ("m", "mid") else variant
        upper.plot(time, run.waves["v"][keep], color=colour, lw=1.1, label=label)
        if lower is not None:
            lower.plot(time, 1000 * run.waves["cai"][keep], color=colour, lw=1.1)
    upper.set(ylim=(-100, 70), yticks=(-80, -40, 0, 40))
    upper.set_xlim((0, 3000) if spontaneous else (-15, 600))
    (upper if lower is None else lower).set_xlabel("time [ms]", labelpad=1)
    if spontaneous:
        told = f"cycle {one.scalars['cycle_length']:.0f} ms"
        upper.text(1, 0.97, told, transform=upper.transAxes, ha="right", va="top", fontsize=7.5)
    elif any(variant in _COLOURS for variant in variants):
        upper.legend(frameon=False, loc="upper right", handlelength=1.2, borderaxespad=0)
    if lower is not None:
        lower.set_ylim(bottom=0)
        lower.yaxis.set_major_locator(MaxNLocator(2, min_n_ticks=2))


def _head(axis: Any, stem: str, variants: dict[str, Run]) -> None:
    about = next(iter(variants.values())).cell.about
    title = re.sub(r" \(.*\)", "", about.title)
    axis.set_title(
        title, fontsize=8.5 if len(title) < 30 else 7.5, loc="left", pad=14, fontweight="bold"
    )
    told = f"{stem}: {about.species} {about.tissue}"
    axis.text(0, 1.03, told, transform=axis.transAxes, color="#666666", fontsize=7)


def tabulate(runs: dict[str, Run], checked: dict[str, Checked]) -> None:
    """Replaces what stands between the markers of the page."""
    lines = [
        "| model | species, tissue | states | APD90 [ms] | checked against "
        "| worst derivative error | APD90 error |",
        "|---|---|--:|--:|---|--:|--:|",
    ]
    for name, run in sorted(runs.items()):
        about, found = run.cell.about, checked[name]
        states = len(run.cell.initial_state())
        error = "" if found.derivative is None else f"{found.derivative:.0e}"
        cells = (
            f"`{name}`",
            f"{about.species}, {about.tissue}",
            str(states),
            f"{run.scalars['apd90']:.1f}",
            found.source,
            error,
            found.duration,
        )
        lines.append(f"| {' | '.join(cells)} |")
    begin, end = MARKERS
    before, rest = PAGE.read_text("utf-8").split(begin)
    after = rest.split(end)[1]
    table = "\n".join(lines)
    with replacing(PAGE) as temporary:
        temporary.write_text(f"{before}{begin}\n{table}\n{end}{after}", "utf-8")


if __name__ == "__main__":
    main()
