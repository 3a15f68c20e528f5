"""What a left ventricle in a closed loop does when blood, vessels, rate or drugs change.

The ventricle of `whole_heart_beat` on a coarse mesh, from ToR-ORd's calcium, beats until it is
periodic, and again after each change of one thing:

- the volume of blood, at two contractilities: Frank and Starling's law, the end-systolic relation
  of pressure and volume, and the stroke work that preload recruits;
- the systemic resistance; the heart rate, with the calcium of cells paced at it; an atrium that
  does not contract; half of the L-type calcium current blocked; half of hERG blocked;
- the way of excitation: by the left bundle, from the septum's right side where that is blocked, and
  from there and a lead in the lateral wall at once.

Spec: the directions, and sizes where they are known; sources are with the rows.

With --quick: one change of blood on a coarser mesh in long steps, directions alone.
"""

import time
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from twinjax import ParameterSpace
from twinjax.cells import ToRORd, beat_grid, biomarkers, pace, scaled
from twinjax.heart import CalciumTransient, HeartState, WholeHeart, settle
from twinjax.units import convert, factor

from ._conduction import KINDS, activation, stretched_within
from ._report import Report, main
from ._ventricle import Watch, ventricle
from .whole_heart_beat import seen_of, steps

SPACING, CELL_BEATS, BEATS, RTOL = 13.0, 100, 10, 0.003
REST, FAST = 60.0, 90.0  # bpm
LITTLE, MUCH, STRONG, HIGH = 0.92, 1.08, 1.15, 1.33  # of the blood, the tension, the resistance
STARLING = "Patterson and Starling 1914, J Physiol 48:357"
GLOWER = "Glower et al. 1985, Circulation 71:994: linear in each of their dogs"
SUGA = "Suga and Sagawa 1974, Circ Res 35:117"
SAGAWA = "Sagawa 1981, Circulation 63:1223: where the ratio of pressure to volume is greatest"
CHEN = "Chen et al. 2001, J Am Coll Cardiol 38:2028: adults at rest"
PETERSEN = "Petersen et al. 2017, J Cardiovasc Magn Reson 19:18: 58 ± 5 % and 61 ± 5 %, 2 SD"
WEISSLER = "Weissler et al. 1968, Circulation 37:149: 413 - 1.7 HR ± 10 ms in men, 2 SD"
MULIERI = "Mulieri et al. 1992, Circulation 85:1743: force rises with frequency in healthy muscle"
AURICCHIO = "Auricchio et al. 2004, Circulation 109:1133; late lateral walls"
GRINES = "Grines et al. 1989, Circulation 79:845"
KASS = "Kass et al. 1999, Circulation 99:1567"
KIRN = "Kirn et al. 2008, Am J Physiol Heart 295:H640"
USUAL = "usual of healthy adults"
SIZES = {
    "ejection fraction [%]": (48.0, 71.0, PETERSEN),
    "twist [deg]": (10.0, 15.0, USUAL),
    "wall thickening [%]": (30.0, 50.0, USUAL),
    "long-axis shortening [%]": (12.0, 18.0, USUAL),
    "isovolumic contraction [ms]": (30.0, 80.0, USUAL),
    "isovolumic relaxation [ms]": (60.0, 100.0, USUAL),
    "ejection time [ms]": (413 - 1.7 * REST - 20, 413 - 1.7 * REST + 20, WEISSLER),
}
SV, EDV, RISE = (
    "stroke volume [mL]",
    "end-diastolic volume [mL]",
    "greatest rise of pressure [mmHg/s]",
)
PEAK, EF, TIME = "peak pressure [mmHg]", "ejection fraction [%]", "ejection time [ms]"
MEAN, OUTPUT, WORK = "mean arterial pressure [mmHg]", "output [L/min]", "stroke work [J]"
ISF, DELAY = "internal stretch fraction [%]", "activation [ms]"
ENDS = ("volume at end-systole [mL]", "pressure at end-systole [mmHg]")
Beat = dict[str, float]


def run(quick: bool, report: Report) -> None:
    """The beat at rest, then one change after the other."""
    laboratory = Laboratory(25.0 if quick else SPACING, 2 if quick else CELL_BEATS, quick)
    rest = laboratory.beat("at rest")
    much = laboratory.beat("more blood", blood=MUCH)
    grows(report, "more blood", rest, much, SV, STARLING)
    grows(report, "more blood", rest, much, EDV, STARLING)
    if quick:
        return
    for name, (low, high, source) in SIZES.items():
        words, unit = name[:-1].split(" [")
        report.interval(words, rest[name], low, high, unit=unit, source=source)
    preload(report, laboratory, laboratory.beat("less blood", blood=LITTLE), rest, much)
    loaded = laboratory.beat("more resistance", resistance=HIGH)
    grows(report, "less resistance", loaded, rest, SV, SUGA)
    grows(report, "more resistance", rest, loaded, MEAN, SUGA)
    fast = laboratory.beat("90 bpm", rate=FAST)
    grows(report, "90 bpm", rest, fast, RISE, MULIERI)
    grows(report, "90 bpm", rest, fast, OUTPUT, MULIERI)
    grows(report, "60 bpm", fast, rest, SV, "more time to fill")
    grows(report, "60 bpm", fast, rest, TIME, WEISSLER)
    still = laboratory.beat("still atrium", atrium=0.0)
    grows(report, "atrial kick", still, rest, OUTPUT, "the kick fills the ventricle")
    drugs(report, laboratory, rest)
    conduction(report, laboratory)
    greatest = max(beat["residual"] for beat in laboratory.seen)
    words = "of the largest volume or pressure, over all beats"
    report.at_most("change over a beat", greatest, RTOL, unit="1", source=words)


def grows(report: Report, change: str, before: Beat, after: Beat, name: str, source: str) -> None:
    """A row for what is greater after a change."""
    words, unit = name[:-1].split(" [")
    title = f"{change}: {words}, by how much it is greater"
    words = f"{before[name]:.4g} and {after[name]:.4g}; {source}"
    report.at_least(title, after[name] - before[name], 0.0, unit=unit, source=words)


def preload(report: Report, laboratory: "Laboratory", little: Beat, rest: Beat, much: Beat) -> None:
    """Blood, at two contractilities."""
    grows(report, "not less blood", little, rest, SV, STARLING)
    usual = [little, rest, much]
    straight = _square([beat[EDV] for beat in usual], [beat[WORK] for beat in usual])
    title = "stroke work over end-diastolic volume, r²"
    report.at_least(title, straight, 0.97, unit="1", source=GLOWER)
    slope, straight = relation(usual)
    points = "; ".join(f"{beat[ENDS[0]]:.1f} mL {beat[ENDS[1]]:.1f} mmHg" for beat in usual)
    words = f"{points}; {SAGAWA}"
    report.at_least("end-systolic relation, r²", straight, 0.97, unit="1", source=words)
    report.interval("end-systolic elastance", slope, 1.0, 4.5, unit="mmHg/mL", source=CHEN)
    strong = [
        laboratory.beat(f"stronger, {name}", blood=blood, strength=STRONG)
        for name, blood in (("less blood", LITTLE), ("same blood", 1.0), ("more blood", MUCH))
    ]
    steeper = relation(strong)[0] - slope
    title = "stronger: end-systolic elastance, by how much it is greater"
    report.at_least(title, steeper, 0.0, unit="mmHg/mL", source=SUGA)
    grows(report, "stronger", rest, strong[1], RISE, SUGA)


def relation(beats: list[Beat]) -> tuple[float, float]:
    """Slope [mmHg/mL] and r² of end-systolic pressures over volumes."""
    volume, pressure = ([beat[name] for beat in beats] for name in ENDS)
    return float(np.polyfit(volume, pressure, 1)[0]), _square(volume, pressure)


def _square(x: list[float], y: list[float]) -> float:
    return float(np.corrcoef(x, y)[0, 1] ** 2)


def drugs(report: Report, laboratory: "Laboratory", rest: Beat) -> None:
    """Half of a current blocked."""
    weak = laboratory.beat("ICaL blocked", blocked={"ICaL": 0.5})
    for name in (PEAK, EF):
        grows(
            report, "without half of ICaL blocked", weak, rest, name, "such drugs weaken the heart"
        )
    long = laboratory.duration({"IKr": 0.5}) - laboratory.duration({})
    title = "half of IKr blocked: action potential, by how much it is longer"
    words = "block of hERG lengthens QT; at least 20 ms"
    report.at_least(title, long, 20.0, unit="ms", source=words)
    late = laboratory.beat("IKr blocked", blocked={"IKr": 0.5})
    grows(report, "half of IKr blocked", rest, late, TIME, "relaxation comes later")


def conduction(report: Report, laboratory: "Laboratory") -> None:
    """The bundle, its block, and pacing."""
    usual, blocked, paced = (laboratory.beat(kind, conduction=kind) for kind in KINDS)
    grows(report, "bundle branch block", usual, blocked, DELAY, AURICCHIO)
    grows(report, "bundle branch block", usual, blocked, ISF, KIRN)
    grows(report, "bundle, not blocked", blocked, usual, EF, GRINES)
    grows(report, "bundle, not blocked", blocked, usual, RISE, GRINES)
    grows(report, "block, not paced", paced, blocked, DELAY, AURICCHIO)
    grows(report, "block, not paced", paced, blocked, ISF, KIRN)
    grows(report, "block, paced", blocked, paced, RISE, KASS)
    grows(report, "block, paced", blocked, paced, SV, KASS)


class Laboratory:
    """A heart that one thing is changed of at a time."""

    def __init__(self, spacing: float, cell_beats: int, quick: bool):
        self.spacing, self.cell_beats, self.quick = spacing, cell_beats, quick
        self.seen: list[Beat] = []
        self.start: HeartState | None = None
        self.console = Console(stderr=True, width=160)

    def beat(self, name: str, **changes: Any) -> Beat:
        """The periodic beat after changes, from that at rest."""
        begun = time.perf_counter()
        heart = self.heart(**changes)
        period = float(heart.circulation.period()) * factor("s", "ms")
        lengths = np.full(100, period / 100) if self.quick else steps(0.5, period)
        start = heart.filled() if self.start is None else self._begun(heart)
        watch = Watch(heart)
        found = settle(
            heart, start=start, step=lengths, beats=BEATS, rtol=RTOL, observe=watch, throw=False
        )
        if len(found.times) <= len(lengths):
            raise RuntimeError(f"the heart stopped {float(found.times[-1]):.0f} ms into: {name}")
        if self.start is None:
            self.start = found.state
        seen = indices(found, heart)
        self.seen.append(seen)
        words = f"{seen[EF]:.0f} %, {seen[PEAK]:.0f} mmHg, residual {seen['residual']:.2g}"
        took = f"{time.perf_counter() - begun:.0f} s, {int(found.stats['beats'])} beats"
        self.console.print(f"{name}: {words}; {took}", markup=False)
        return seen

    def _begun(self, heart: WholeHeart) -> HeartState:
        """From the beat at rest, at the beginning of a beat, with the heart's own blood."""
        assert self.start is not None
        blood = heart.circulation.restore(self.start.circulation)
        at_start = eqx.tree_at(lambda s: s.circulation, self.start, blood)
        return eqx.tree_at(lambda s: s.time, at_start, np.zeros(()))

    def heart(
        self,
        *,
        blood: float = 1.0,
        strength: float = 1.0,
        resistance: float = 1.0,
        rate: float = REST,
        atrium: float = 1.0,
        blocked: dict[str, float] | None = None,
        conduction: str | None = None,
    ) -> WholeHeart:
        """Factors of what is there at rest; shares of currents."""
        heart = ventricle(self.spacing, calcium=self.calcium(rate, blocked or {}), rate=rate)
        factors = {
            "circulation.stressed_volume": blood,
            "tension.t_ref": strength,
            "circulation.systemic_arteries.resistance": resistance,
            "circulation.left_atrium.active_elastance": atrium,
        }
        if conduction is not None:
            times = activation(heart, self.spacing, conduction)
            heart = eqx.tree_at(lambda h: h.activation, heart, times)
        space = ParameterSpace(heart, list(factors))
        return space.write(heart, space.read(heart) * np.array(list(factors.values())))

    def _paced(self, rate: float, blocked: dict[str, float]) -> tuple[Any, float]:
        cell = scaled(ToRORd(), {name: 1 - share for name, share in blocked.items()})
        period, stimulus = 1 / convert(rate, "bpm", "1/ms"), cell.about.stimulus
        assert stimulus is not None
        return pace(cell, beats=self.cell_beats, grid=beat_grid(period, stimulus[1])), period

    def calcium(self, rate: float, blocked: dict[str, float]) -> CalciumTransient:
        """Of cells paced at the rate."""
        cell, period = self._paced(rate, blocked)
        return CalciumTransient(cell.times[:-1], cell.observations["cai"][:-1], period=period)

    def duration(self, blocked: dict[str, float]) -> float:
        """Of the action potential, to 90 % of repolarisation [ms]."""
        return float(biomarkers(self._paced(REST, blocked)[0])["apd90"])


def indices(done: Any, heart: WholeHeart) -> Beat:
    """Of a beat: those of `seen_of`, and what valves, vessels and fibres tell."""
    rate = float(heart.circulation.heart_rate)
    times = np.asarray(done.times) - float(done.times[0])
    volume, pressure, arterial, atrial, flow = (
        np.asarray(done.observations[name])
        for name in (
            "left_ventricle.volume",
            "left_ventricle.pressure",
            "systemic_arteries.pressure",
            "left_atrium.pressure",
            "aortic.flow",
        )
    )
    # From the middle of diastole to that of the next beat: valves open and close within.
    middle = int(np.searchsorted(times, 0.75 * times[-1]))
    order = np.concatenate([np.arange(middle, len(times) - 1), np.arange(middle + 1)])
    when = np.where(np.arange(len(order)) < len(times) - 1 - middle, -times[-1], 0) + times[order]
    above, beyond, out = (pressure - atrial)[order], (pressure - arterial)[order], flow[order]
    top = int(pressure[order].argmax())
    closes_mitral = crossing(when, above, 0, top, last=True)
    opens = crossing(when, beyond, 0, top, last=True)
    closes = crossing(when, -out, int(out.argmax()), len(when) - 1)
    opens_mitral = crossing(when, -above, top, len(when) - 1)
    systole = order[(when >= closes_mitral) & (when <= closes)]
    stretch = np.asarray(done.observations["seen"]["stretch"])[systole]
    steepest = systole[(pressure / volume)[systole].argmax()]
    mean = (pressure[1:] + pressure[:-1]) / 2
    stroke = float(np.ptp(volume))
    return seen_of(done) | {
        SV: stroke,
        OUTPUT: stroke * convert(rate, "bpm", "1/s") * factor("mL/s", "L/min"),
        WORK: -float(np.sum(mean * np.diff(volume))) * factor("mmHg·mL", "J"),
        MEAN: float(np.trapezoid(arterial, times) / times[-1]),
        ENDS[0]: float(volume[steepest]),
        ENDS[1]: float(pressure[steepest]),
        "isovolumic contraction [ms]": opens - closes_mitral,
        TIME: closes - opens,
        ISF: stretched_within(stretch, np.asarray(heart.wall.elements.geometry()[1])),
        DELAY: float(jnp.ptp(heart.activation)),
        "isovolumic relaxation [ms]": opens_mitral - closes,
        "residual": float(done.stats["residual"]),
    }


def crossing(
    times: np.ndarray, values: np.ndarray, begin: int, end: int, *, last: bool = False
) -> float:
    """When values first, or last, rise above 0 between two samples, linear between samples."""
    above = values[begin : end + 1] > 0
    found = np.flatnonzero(above[1:] & ~above[:-1])
    if not len(found):
        raise RuntimeError("a valve neither opens nor closes where it should")
    k = begin + int(found[-1 if last else 0])
    share = values[k] / (values[k] - values[k + 1])
    return float(times[k] + share * (times[k + 1] - times[k]))


if __name__ == "__main__":
    main(run, name="whole_heart_physiology")
