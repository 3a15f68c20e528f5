"""Ranges of biomarkers measured in experiments, with their sources."""

import dataclasses

PASSINI_2017 = (
    "Passini et al. 2017, Front Physiol 8:668: ranges for the calibration of a population of "
    "human ventricular cells, from the recordings of Britton et al. 2017, Front Physiol 8:278"
)


@dataclasses.dataclass(frozen=True)
class Range:
    """The least and the greatest value of a biomarker that experiments found.

    Raises `ValueError` if the range is empty.
    """

    low: float
    high: float
    unit: str
    cite: str

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"a range needs low < high, not {self.low} and {self.high}")


# Microelectrode recordings in undiseased human ventricular trabeculae and papillary muscles, paced
# at 1 Hz. The numbers await comparison with the printed table, which was not at hand.
HUMAN_VENTRICLE = {
    "apd40": Range(85.0, 320.0, "ms", PASSINI_2017),
    "apd50": Range(110.0, 350.0, "ms", PASSINI_2017),
    "apd90": Range(180.0, 440.0, "ms", PASSINI_2017),
    "triangulation40": Range(50.0, 150.0, "ms", PASSINI_2017),
    "upstroke_velocity": Range(100.0, 1000.0, "mV/ms", PASSINI_2017),
    "peak_potential": Range(10.0, 55.0, "mV", PASSINI_2017),
    "resting_potential": Range(-95.0, -80.0, "mV", PASSINI_2017),
}
