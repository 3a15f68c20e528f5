"""`twinjax demo`: the main job on a packaged example, in one command."""

import time
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from training.cli._fit import STAGES
from training.cli._fit import show as show_fit
from training.cli._output import key_values, progress_bar, show, show_json
from twinjax.io import read_measurements

EXAMPLE = "normal_man.toml"
# Small on purpose: what a laptop does in a minute. The full one is experiments/surrogate_lumped.
RUNS, MEMBERS, WIDTH, STEPS = 160, 3, 128, 1200


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="folder")] = Path("demo"),
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Fit a published average man, make a dataset, train a surrogate, predict, draw."""
    output.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    took: dict[str, float] = {}

    def stage(name: str) -> None:
        took[name] = round(time.perf_counter() - started - sum(took.values()), 1)

    with progress_bar() as update:
        twin, person = _fit(output, update)
        stage("fit")
        _dataset(output, update)
        stage("dataset")
        card = _train(output, update)
        stage("train")
        compared = _predict(output, twin)
        stage("predict")
    if as_json:
        show_json({"folder": str(output), "seconds": took, **compared})
        return
    from training.cli._train import accuracy

    show_fit(twin, person)
    show(accuracy(card))
    show(key_values("surrogate beside solver, at the fitted heart", compared))
    show(key_values("seconds, compilation included", {**took, "all": sum(took.values())}))
    written = ", ".join(sorted(path.name for path in output.iterdir() if path.is_file()))
    show(f"written to {output}: {written}")


def _fit(output: Path, update: Any) -> tuple[Any, Any]:
    from training.fit import fit
    from training.report import draw_twin
    from training.twin import save_twin

    example = output / EXAMPLE
    example.write_bytes((files("training") / "examples" / EXAMPLE).read_bytes())
    person = read_measurements(example)
    stages = [name for name in STAGES if name != "population"]
    twin = fit(
        person,
        progress=lambda s: update(f"fit: {STAGES[s]}", stages.index(s), len(stages)),
    )
    save_twin(twin, output / "twin.h5")
    draw_twin(twin, output / "twin.png")
    return twin, person


def _dataset(output: Path, update: Any) -> None:
    from training.case import load_case, whole_prior
    from training.datasets import make_dataset

    case = output / "case.toml"
    case.write_text(whole_prior(0.8, runs=RUNS).text, encoding="utf-8")
    make_dataset(
        load_case(case),
        output / "data.h5",
        progress=lambda done, total: update("dataset: simulations", done, total),
    )


def _train(output: Path, update: Any) -> dict[str, Any]:
    from training.train import train_surrogate

    return train_surrogate(
        output / "data.h5",
        output / "heart.surrogate",
        members=MEMBERS,
        width=WIDTH,
        steps=STEPS,
        progress=lambda p: update(f"train: {p.stage}", p.done, p.total),
    ).card


def _predict(output: Path, twin: Any) -> dict[str, Any]:
    """The surrogate at the fitted heart, beside the solver; and how long each takes for a beat."""
    import equinox as eqx
    import jax
    import numpy as np

    from surrogates.runtime import load
    from training._beat_figure import draw_beat
    from twinjax import BeatSimulator
    from twinjax.heart import ClosedLoop

    runtime = load(output / "heart.surrogate")
    theta = dict(zip(twin.names, twin.mode, strict=True))
    prediction = runtime(theta)
    samples = prediction.waves.shape[1]
    solver = eqx.filter_jit(BeatSimulator(ClosedLoop(), twin.space, samples=samples))
    exact = jax.block_until_ready(solver(twin.mode))
    seconds = {}
    for name, call in (
        ("surrogate", lambda: runtime(theta)),
        ("solver", lambda: jax.block_until_ready(solver(twin.mode))),
    ):
        starts = []
        for _ in range(30):
            start = time.perf_counter()
            call()
            starts.append(time.perf_counter() - start)
        seconds[name] = float(np.median(starts))
    names = prediction.waveform_names
    errors = [
        np.linalg.norm(prediction.waves[i] - exact.waveforms[name])
        / np.linalg.norm(exact.waveforms[name])
        for i, name in enumerate(names)
    ]
    period = 60 / float(exact.scalars["heart_rate"])
    draw_beat(
        np.arange(samples) / samples * period,
        {name: prediction.waveform(name) for name in names},
        output / "prediction.png",
        reference={name: np.asarray(exact.waveforms[name]) for name in names},
    )
    worst = int(np.argmax(errors))
    return {
        "median relative L2 error of a waveform": f"{100 * np.median(errors):.2f} %",
        "largest": f"{100 * errors[worst]:.2f} % ({names[worst]})",
        "inside the trained box": "yes" if prediction.inside else ", ".join(prediction.outside),
        "surrogate, NumPy, one beat with intervals": f"{1e6 * seconds['surrogate']:.0f} µs",
        "solver, periodic beat": f"{1e3 * seconds['solver']:.1f} ms",
    }
