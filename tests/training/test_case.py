"""CASE.toml: what it says is what the model gets, and every mistake is one sentence."""

import numpy as np
import pytest

from training.case import load_case, parse_case, whole_prior
from twinjax import ParameterSpace, parameters_of

GOOD = """
[model]
name = "closed-loop"
[parameters]
"systemic_veins.resistance" = {value = 80.0, unit = "dyn·s/cm5"}
[box]
heart_rate = {low = 1.0, high = 1.5, unit = "Hz"}
stressed_volume = {prior = 0.9}
"left_ventricle.unstressed_volume" = {prior = 0.5}
"""


def test_values_are_converted_and_fixed():
    case = parse_case(GOOD)
    veins = ParameterSpace(case.model, ("systemic_veins.resistance",)).read(case.model)
    # 1 mmHg·s/mL is 1333.22 dyn·s/cm5 (mmHg in Pa, exactly).
    assert veins[0] == pytest.approx(80 / 1333.22387415, rel=1e-12)
    assert case.space.names == (
        "heart_rate",
        "stressed_volume",
        "left_ventricle.unstressed_volume",
    )
    assert case.box[0] == pytest.approx([60, 90])


def test_the_central_part_of_the_prior():
    case = parse_case(GOOD)
    info = case.space.info
    # 1.644854 and 0.67449 SD hold the central 90 and 50 % of a normal distribution.
    expected = info[1].default * np.exp(np.array([-1, 1]) * 1.6448536 * info[1].prior.scale)
    assert case.box[1] == pytest.approx(expected, rel=1e-6)
    expected = info[2].prior.loc + np.array([-1, 1]) * 0.6744898 * info[2].prior.scale
    assert case.box[2] == pytest.approx(expected, rel=1e-6)


def test_the_whole_prior_has_every_parameter_that_has_one():
    case = whole_prior(0.9)
    assert set(case.space.names) == {
        name for name, info in parameters_of(case.model).items() if info.prior
    }
    assert len(case.space) == 18
    assert np.all(case.box[:, 0] < case.box[:, 1])


MISTAKES = {
    "misspelt parameter": ("[box]\nheart_rat = {prior = 0.9}", "did you mean 'heart_rate'"),
    "misspelt key": ("[modle]\nname = 'closed-loop'", "did you mean 'model'"),
    "misspelt inner key": (
        "[parameters]\nheart_rate = {valeu = 3, unit = 'bpm'}",
        "did you mean 'value'",
    ),
    "misspelt model": ("[model]\nname = 'closd-loop'", "did you mean 'closed-loop'"),
    "no unit": ("[parameters]\nheart_rate = {value = 70}", "parameters.heart_rate.unit"),
    "wrong unit": (
        "[parameters]\nheart_rate = {value = 70, unit = 'mmHg'}",
        "Cannot convert mmHg (pressure) to bpm (rate)",
    ),
    "unknown unit": ("[parameters]\nheart_rate = {value = 70, unit = 'bmp'}", "'bpm'"),
    "outside bounds": (
        "[parameters]\nheart_rate = {value = 700, unit = 'bpm'}",
        "outside its bounds [25, 200] bpm",
    ),
    "box outside bounds": (
        "[box]\nheart_rate = {low = 5, high = 80, unit = 'bpm'}",
        "outside its bounds",
    ),
    "upside down": (
        "[box]\nheart_rate = {low = 80, high = 60, unit = 'bpm'}",
        "80 is not below 60",
    ),
    "half a box": ("[box]\nheart_rate = {low = 80}", "needs low, high and unit, or prior"),
    "both kinds": ("[box]\nheart_rate = {low = 60, prior = 0.9}", "either prior, or low"),
    "no prior": ("[box]\n'mitral.sharpness' = {prior = 0.9}", "mitral.sharpness has no prior"),
    "twice": (
        "[parameters]\nheart_rate = {value = 70, unit = 'bpm'}\n[box]\nheart_rate = {prior = 0.9}",
        "both fixed in [parameters] and in [box]",
    ),
    "no TOML": ("[box\n", "is not TOML"),
    "part above one": ("[box]\nheart_rate = {prior = 90}", "less than 1"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_sentence(name):
    text, part = MISTAKES[name]
    with pytest.raises(ValueError) as caught:
        parse_case(text, "CASE.toml")
    assert part in str(caught.value)
    assert str(caught.value).startswith("CASE.toml")
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "empty.toml").write_text("")
    (tmp_path / "binary.toml").write_bytes(b"\x89HDF\xff\xfe")
    for name, part in (("empty", "is empty"), ("binary", "not text"), ("absent", "no file")):
        with pytest.raises(ValueError, match=part):
            load_case(tmp_path / f"{name}.toml")
