"""Ventricles that beat in a closed loop, from their cells: cost, balances, refinement.

ToR-ORd's calcium at 1 Hz drives Land's sarcomeres at every point of quadrature of an ellipsoid of
quadratic tetrahedra; its cavity is the left ventricle of the lumped circulation. The beat is the
periodic one. Stated: seconds of a beat after compilation and of compiling, on all processors;
memory; what the balances of blood and energy leave; how pressures and volumes change with the mesh
and the step; and the energy that computing takes, processor time at 10 W a processor, which is
assumed, for no counter of energy can be read on most machines. Then both ventricles of a person do
the same, coarsened and unloaded from the shape that was imaged.

Spec: 15,000 degrees of freedom, 300 s a beat, 90 s of compiling; of both ventricles 900 s a beat;
blood and energy to 0.1 %; the circulation is back where it started to 1 %.

With --quick: a beat of a coarse ventricle in long steps, with its balances.
"""

import resource
import time
from typing import Any

import jax
import numpy as np

from twinjax.heart import CalciumTransient, HeartState, WholeHeart, beat, settle
from twinjax.units import factor

from ._biventricle import biventricle
from ._report import Report, main
from ._ventricle import Watch, transient, ventricle, works

FINEST, COARSER = 6.5, (13.0, 9.0)  # mm: edges of tetrahedra
BOTH = 9.0  # mm: the same of both ventricles
WATTS = 10.0  # of a busy processor
# Of both ventricles, what adults at rest have.
USUAL = {
    ("left_ventricle", "ejection fraction [%]"): (50.0, 65.0),
    ("left_ventricle", "peak pressure [mmHg]"): (100.0, 130.0),
    ("right_ventricle", "peak pressure [mmHg]"): (20.0, 30.0),
}
# Until when [ms] steps are how long [ms]: short while pressure rises and blood is ejected.
COURSE = ((120.0, 1.0), (402.0, 3.0), (1002.0, 7.5))


def steps(refined: float = 1.0, period: float = 1000.0) -> np.ndarray:
    """Of a beat [ms]; `refined` times as many."""
    found, now = [], 0.0
    for until, length in COURSE:
        count = round((until - now) / length * refined)
        found.append(np.full(count, (until - now) / count))
        now = until
    every = np.concatenate(found)
    return every * (period / every.sum())


def run(quick: bool, report: Report) -> None:
    """The beat on the finest mesh, then coarser meshes and other steps."""
    calcium = transient(beats=2 if quick else 100)
    if quick:
        heart = ventricle(25.0, calcium=calcium)
        done, _ = periodic(heart, heart.filled(), np.full(100, 10.0), beats=2, rtol=0.1)
        balances(report, "coarse", heart, done, energy=0.05, periodicity=0.1)
        return
    heart = ventricle(FINEST, calcium=calcium)
    freedom = 3 * len(heart.wall.elements.points)
    report.at_least("degrees of freedom", freedom, 15_000, unit="1", source=f"edges of {FINEST} mm")
    start = compiling(report, heart)
    first = beat(heart, start=start, step=steps(), observe=Watch(heart))
    finest = seen_of(first)
    done, took = periodic(heart, first.state, steps())
    report.at_most("a beat", took["wall"], 300.0, unit="s", source=f"{len(steps())} steps")
    joules = took["processors"] * WATTS / 1e3
    note = f"{took['processors']:.0f} s of processors at {WATTS:g} W each, assumed"
    report.information("energy that computing a beat takes", joules, unit="kJ", source=note)
    report.information("most memory", took["memory"], unit="GiB", source="of the process")
    after = float(done.stats["beats"]) + 1
    report.information("beats until periodic", after, unit="1", source="with the first one")
    balances(report, "finest", heart, done)
    told(report, seen_of(done))
    for spacing in COARSER:
        other = ventricle(spacing, calcium=calcium)
        name = f"first beat, {3 * len(other.wall.elements.points):,} degrees of freedom"
        apart(report, name, first_beat(other, steps()), finest)
    coarse = ventricle(COARSER[0], calcium=calcium)
    small = first_beat(coarse, steps(2.0))
    for refined in (0.5, 1.0):
        name = f"first beat, {refined:g} times as many steps, coarsest mesh"
        apart(report, name, first_beat(coarse, steps(refined)), small)
    both(report, calcium)


def both(report: Report, calcium: CalciumTransient) -> None:
    """The beat of two ventricles."""
    name, source = "both ventricles", f"edges of {BOTH} mm"
    heart = biventricle(BOTH, calcium=calcium)
    freedom = 3 * len(heart.wall.elements.points)
    report.at_least(f"{name}: degrees of freedom", freedom, 15_000, unit="1", source=source)
    first = beat(heart, start=heart.filled(), step=steps(), observe=Watch(heart))
    done, took = periodic(heart, first.state, steps())
    note = f"{len(steps())} steps, {took['processors']:.0f} s of processors"
    report.at_most(f"{name}: a beat", took["wall"], 900.0, unit="s", source=note)
    after = float(done.stats["beats"]) + 1
    report.information(f"{name}: beats until periodic", after, unit="1", source="with the first")
    balances(report, name, heart, done)
    for chamber in heart.chambers:
        words = f"{name}, {chamber.replace('_', ' ')}"
        for what, value in pumped(done, chamber).items():
            quantity, unit = what[:-1].split(" [")
            if limits := USUAL.get((chamber, what)):
                report.interval(
                    f"{words}: {quantity}", value, *limits, unit=unit, source="usual in adults"
                )
            else:
                report.information(f"{words}: {quantity}", value, unit=unit, source=source)


def first_beat(heart: WholeHeart, lengths: np.ndarray) -> dict[str, float]:
    """Numbers of the beat that follows filling."""
    return seen_of(beat(heart, start=heart.filled(), step=lengths, observe=Watch(heart)))


def periodic(
    heart: WholeHeart, start: HeartState, lengths: np.ndarray, beats: int = 6, rtol: float = 0.01
) -> tuple[Any, dict[str, Any]]:
    """The periodic beat, and what its last beat took."""
    marks: list[tuple[float, float]] = [_clock()]
    period = float(lengths.sum())

    def mark(now: float) -> None:
        if abs(now / period - round(now / period)) < 1e-9:
            marks.append(_clock())

    done = settle(
        heart,
        start=start,
        step=lengths,
        beats=beats,
        rtol=rtol,
        observe=Watch(heart),
        progress=mark,
        throw=False,
    )
    (wall, processors), (wall_end, processors_end) = marks[-2:]
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    took = {"wall": wall_end - wall, "processors": processors_end - processors, "memory": most}
    return done, took


def _clock() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def compiling(report: Report, heart: WholeHeart) -> HeartState:
    """The first step from the first call on, less the same again; the heart filled."""
    seconds = []
    for _ in range(2):
        begun = time.perf_counter()
        start = heart.filled()
        jax.block_until_ready(beat(heart, start=start, step=steps()[:1]).state)
        seconds.append(time.perf_counter() - begun)
    note = f"filling and a step: first {seconds[0]:.1f} s, then {seconds[1]:.1f} s"
    report.at_most("compiling", seconds[0] - seconds[1], 90.0, unit="s", source=note)
    return start


def balances(
    report: Report,
    name: str,
    heart: WholeHeart,
    done: Any,
    *,
    energy: float = 1e-3,
    periodicity: float = 0.01,
) -> None:
    """Blood, energy, and the way back to the start."""
    seen = done.observations["seen"]
    names = [f"{chamber}.volume" for chamber in heart.chambers]
    volume = np.stack([np.asarray(done.observations[name]) for name in names], axis=1)
    off = np.abs(np.asarray(seen["volume"]) * factor("mm3", "mL") - volume)
    apart = np.max(off.max(axis=0) / np.ptp(volume, axis=0))
    report.at_most(f"{name}: result", float(done.result), 0.0, unit="1", source="RESULTS")
    words = "each cavity of the wall beside the loop's chamber, of its stroke volume"
    report.at_most(f"{name}: blood", apart, 1e-3, unit="1", source=words)
    total = float(heart.circulation.total_volume(done.state.circulation))
    lost = abs(total / float(heart.circulation.stressed_volume) - 1)
    report.at_most(f"{name}: blood of the loop", lost, 1e-3, unit="1", source="of all of it")
    found = works(heart, np.asarray(done.times), seen)
    left = found["sarcomeres"] - sum(v for name, v in found.items() if name != "sarcomeres")
    words = ", ".join(f"{key} {value:.4f} J" for key, value in found.items())
    report.at_most(
        f"{name}: energy", abs(left) / found["sarcomeres"], energy, unit="1", source=words
    )
    report.at_most(
        f"{name}: change of the circulation over a beat",
        float(done.stats["residual"]),
        periodicity,
        unit="1",
        source="of the largest volume or pressure",
    )


def pumped(done: Any, chamber: str) -> dict[str, float]:
    """Numbers of a chamber with walls, and of the arteries that it fills."""
    arteries = {"left_ventricle": "systemic_arteries", "right_ventricle": "pulmonary_arteries"}
    volume, pressure, beyond = (
        np.asarray(done.observations[name])
        for name in (f"{chamber}.volume", f"{chamber}.pressure", f"{arteries[chamber]}.pressure")
    )
    rise = np.diff(pressure) / (np.diff(np.asarray(done.times)) * factor("ms", "s"))
    return {
        "end-diastolic volume [mL]": volume.max(),
        "end-systolic volume [mL]": volume.min(),
        "ejection fraction [%]": 100 * (1 - volume.min() / volume.max()),
        "peak pressure [mmHg]": pressure.max(),
        "greatest rise of pressure [mmHg/s]": rise.max(),
        "arterial pressure, greatest [mmHg]": beyond.max(),
        "arterial pressure, least [mmHg]": beyond.min(),
    }


def seen_of(done: Any) -> dict[str, float]:
    """Numbers of a left ventricle's beat."""
    motion = {name: np.asarray(values) for name, values in done.observations["seen"].items()}
    volume = np.asarray(done.observations["left_ventricle.volume"])
    small, large = int(volume.argmin()), int(volume.argmax())
    return {
        **pumped(done, "left_ventricle"),
        "long-axis shortening [%]": 100
        * (1 - motion["long_axis"][small] / motion["long_axis"][large]),
        "wall thickening [%]": 100 * (motion["thickness"][small] / motion["thickness"][large] - 1),
        "twist [deg]": np.max(motion["twist"] - motion["twist"][large]),
    }


def told(report: Report, found: dict[str, float]) -> None:
    """The numbers of the beat."""
    for name, value in found.items():
        words, unit = name[:-1].split(" [")
        report.information(words, float(value), unit=unit, source="finest mesh")


def apart(report: Report, name: str, found: dict[str, float], finest: dict[str, float]) -> None:
    """How far the numbers are from those of another run."""
    for key in ("ejection fraction [%]", "peak pressure [mmHg]", "twist [deg]"):
        words, unit = key[:-1].split(" [")
        value, reference = float(found[key]), float(finest[key])
        report.information(
            f"{name}: {words}", value, reference=reference, unit=unit, source="the finest"
        )


if __name__ == "__main__":
    main(run, name="whole_heart_beat", compilation_cache=False)
