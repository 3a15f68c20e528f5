"""Hill curves: posteriors against quadrature and known truths; data that say little; mistakes."""

import jax
import numpy as np
import pytest

from experiments._hill_quadrature import marginals
from training.hill import HillData, fit_hill, read_blocks
from twinjax.cells import Block

CONCENTRATIONS = np.repeat([10.0, 100.0, 1000.0, 10000.0], 4)
HEADER = "drug,conc,units,channel,block\n"


def recorded(ic50, h, sd, seed, concentrations=CONCENTRATIONS):
    block = 100 / (1 + (ic50 / concentrations) ** h)
    return concentrations, block + sd * np.random.default_rng(seed).normal(size=len(block))


@pytest.fixture(scope="module")
def few():
    """Told well, hardly and not at all; the last has two recordings more than the others."""
    longer = np.append(CONCENTRATIONS, [1.0, 1.0])
    data = HillData(
        {
            ("known", "IKr"): recorded(300.0, 1.0, 5.0, 1),
            ("weak", "ICaL"): recorded(2e4, 0.8, 10.0, 2),
            ("none", "INa"): recorded(1e7, 1.0, 8.0, 3),
            ("strong", "IKr"): recorded(1e-2, 1.0, 5.0, 4),
            ("longer", "INaL"): recorded(300.0, 1.9, 3.0, 5, longer),
        }
    )
    return data, fit_hill(data, seed=1)


def test_chains_draw_the_posterior_of_quadrature(few):
    data, posterior = few
    for pair, fit in posterior.fits.items():
        exact = marginals(*data.recordings[pair])
        for level in (0.025, 0.25, 0.5, 0.75, 0.975):
            # At least 400 effective draws, so an error of sqrt(level (1 - level) / 400), times 4.
            error = 4 * np.sqrt(level * (1 - level) / 400)
            assert exact.below_ic50(np.quantile(fit.ic50, level)) == pytest.approx(level, abs=error)
            assert exact.below_h(np.quantile(fit.h, level)) == pytest.approx(level, abs=error)
        assert fit.diagnostics["rhat"] < 1.02
        assert fit.diagnostics["ess"] > 400
        assert fit.ic50.shape == fit.h.shape == fit.sd.shape == (2000,)


def test_quadrature_is_that_of_three_dimensions():
    concentrations, block = recorded(300.0, 1.0, 5.0, 1)
    found = marginals(concentrations, block)
    log_ic50, h = np.linspace(np.log(30), np.log(3000), 300), np.linspace(0.5, 2.0, 150)
    sd = np.linspace(0.5, 50.0, 500)
    curve = 1 / (1 + np.exp(h[None, :, None] * (log_ic50[:, None, None] - np.log(concentrations))))
    squares = np.sum((block - 100 * curve) ** 2, axis=2)
    log_density = -len(block) * np.log(sd) - 0.5 * squares[:, :, None] / sd**2
    density = np.exp(log_density - log_density.max())
    below = np.cumsum(density.sum(axis=(1, 2)))
    below = (below - 0.5 * density.sum(axis=(1, 2))) / below[-1]
    for level in (0.05, 0.5, 0.95):
        # The grid of the IC50 has steps of 1.5 % of it, a tenth of its SD.
        ic50 = np.exp(np.interp(level, below, log_ic50))
        assert found.below_ic50(ic50) == pytest.approx(level, abs=0.005)


@pytest.mark.slow  # many posteriors
def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(7)
    truths = {
        (f"drug {i}", "IKr"): (
            float(np.exp(rng.uniform(np.log(50), np.log(2000)))),
            float(rng.uniform(0.6, 1.8)),
            float(rng.uniform(2, 12)),
        )
        for i in range(60)
    }
    data = HillData({pair: recorded(*truth, i) for i, (pair, truth) in enumerate(truths.items())})
    posterior = fit_hill(data, samples=1000)
    for k, name in enumerate(("ic50", "h", "sd")):
        intervals = [fit.interval(0.8)[name] for fit in posterior.fits.values()]
        hits = sum(
            low <= truth[k] <= high
            for (low, high), truth in zip(intervals, truths.values(), strict=True)
        )
        # Binomial of 60 at 0.8: 48 with an SD of 3.1, times 3.
        assert 48 - 9.3 <= hits <= 48 + 9.3


def test_what_the_recordings_do_not_tell_is_said(few):
    _, posterior = few
    assert posterior.of("known", "IKr").identified
    assert posterior.of("longer", "INaL").identified
    assert posterior.of("none", "INa").doubt.startswith("no block seen: at most ")
    assert "far below the lowest concentration, 10 nM" in posterior.of("strong", "IKr").doubt
    assert 250 < posterior.of("known", "IKr").median()["ic50"] < 350
    low, high = posterior.of("known", "IKr").interval()["ic50"]
    assert low < 300 < high


def test_the_same_seed_gives_the_same_draws(few):
    data, posterior = few
    again = fit_hill(data, seed=1)
    for pair, fit in again.fits.items():
        assert np.array_equal(fit.ic50, posterior.fits[pair].ic50)


LITTLE = {
    "one concentration": (np.full(6, 100.0), np.array([40.0, 52.0, 47.0, 61.0, 50.0, 45.0])),
    "one recording": (np.array([100.0]), np.array([50.0])),
    "nothing": (CONCENTRATIONS, np.zeros(16)),
    "less than nothing": (CONCENTRATIONS, np.full(16, -3.0)),
    "everything": (CONCENTRATIONS, np.full(16, 100.0)),
}
DOUBTS = {
    "one concentration": "",  # 50 % block, and so the IC50 is the concentration whatever h is
    "one recording": "the IC50 may lie far above the highest concentration, 100 nM",
    "nothing": "no block seen: at most 0 % on average at a concentration",
    "less than nothing": "no block seen: at most -3 % on average at a concentration",
    "everything": "the IC50 may lie far below the lowest concentration, 10 nM",
}


def test_recordings_that_say_little_are_fitted_all_the_same():
    posterior = fit_hill(HillData({(name, "INa"): cells for name, cells in LITTLE.items()}))
    for (name, _), fit in posterior.fits.items():
        assert np.all((fit.ic50 >= 0.999e-10) & (fit.ic50 <= 1.001e10))
        assert np.all((fit.h >= 0.5) & (fit.h <= 2.0))
        assert np.all((fit.sd >= 0.03) & (fit.sd <= 50.0))
        assert fit.doubt == DOUBTS[name]
        assert fit.identified == (not fit.doubt)
    exact = marginals(*LITTLE["one concentration"])
    fit = posterior.of("one concentration", "INa")
    for level in (0.05, 0.5, 0.95):
        error = 4 * np.sqrt(level * (1 - level) / fit.diagnostics["ess"])
        assert exact.below_ic50(np.quantile(fit.ic50, level)) == pytest.approx(level, abs=error)


def test_draws_become_blocks_of_a_cell(few):
    _, posterior = few
    block = posterior.block("known")
    left = jax.vmap(lambda block: block.left(300.0)["IKr"])(block)
    fit = posterior.of("known", "IKr")
    assert np.allclose(left, 1 / (1 + (300.0 / fit.ic50) ** fit.h))
    assert isinstance(block, Block)
    with pytest.raises(ValueError, match=r"^unknown drug 'knwon'; did you mean 'known'\?$"):
        posterior.block("knwon")
    with pytest.raises(ValueError, match=r"^unknown current of known 'IKR'; did you mean 'IKr'"):
        posterior.of("known", "IKR")


def test_files_are_read_and_pooled(tmp_path):
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text(
        "drug,conc,units,channel,block,pacing\n"
        "quinidine,1e+03,nM,hERG,50.5,0.1\nquinidine,3,uM,INa,NA,0.1\nquinidine,3,uM,INa,-2,0.1\n"
    )
    two.write_text(HEADER + "quinidine,10,nM,hERG,1\nsotalol,1,mM,hERG,60\n")
    data = read_blocks(one, two)
    assert data.drugs == ("quinidine", "sotalol")
    assert list(data.recordings) == [
        ("quinidine", "IKr"),
        ("quinidine", "INa"),
        ("sotalol", "IKr"),
    ]
    concentrations, block = data.recordings["quinidine", "IKr"]
    assert concentrations.tolist() == [1000.0, 10.0]
    assert block.tolist() == [50.5, 1.0]
    assert data.recordings["quinidine", "INa"][0].tolist() == [3000.0]
    assert data.recordings["sotalol", "IKr"][0].tolist() == [1e6]
    assert list(data.select(currents=["INa"]).recordings) == [("quinidine", "INa")]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("drug,conc,units,channel\n", "has no column 'block'"),
        ("drug,conc,units,channel,blok\n", "unknown column 'blok'; did you mean 'block'?"),
        (HEADER + "a,1,nM,INa,3\na,-1,nM,INa,3\n", "row 3: the concentration must be positive"),
        (HEADER + "a,0,nM,INa,3\n", "row 2: the concentration must be positive, not 0"),
        (HEADER + "a,many,nM,INa,3\n", "row 2: conc is no number: 'many'"),
        (HEADER + "a,1,nM,INa,inf\n", "row 2: block is no number: 'inf'"),
        (HEADER + "a,1,ng,INa,3\n", "row 2: unknown unit 'ng'; did you mean 'nM'?"),
        (HEADER + "a,1,nM,INa\n", "row 2 has 4 values for 5 columns"),
        (HEADER + ",1,nM,INa,3\n", "row 2: no drug is named"),
        (HEADER + "a,1,nM,INa,NA\n", "there are no recordings in blocks.csv"),
        ("", "blocks.csv has no column 'drug'"),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path, text, sentence):
    path = tmp_path / "blocks.csv"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:
        read_blocks(path)
    assert sentence in str(caught.value)
    assert "blocks.csv" in str(caught.value)


def test_drugs_and_currents_without_data_are_named(few):
    data, _ = few
    with pytest.raises(ValueError, match=r"^no data: unknown drug 'knwon'; did you mean 'known'\?"):
        data.select(["knwon"])
    with pytest.raises(ValueError, match=r"^no data: unknown current 'IKs'; did you mean 'IKr'"):
        data.select(["known"], ["IKs"])


@pytest.mark.parametrize(
    ("recordings", "sentence"),
    [
        ({}, "there are no recordings to fit"),
        ({("a", "INa"): (np.array([]), np.array([]))}, "no recordings of a on INa"),
        (
            {("a", "INa"): (np.array([1.0]), np.array([1.0, 2.0]))},
            "1 concentrations of a on INa, but 2 blocks",
        ),
        (
            {("a", "INa"): (np.array([-1.0]), np.array([1.0]))},
            "a concentration of a on INa must be positive, not -1 nM",
        ),
        ({("a", "INa"): (np.array([1.0]), np.array([np.nan]))}, "a block of a on INa is not a"),
    ],
)
def test_recordings_that_cannot_be_fitted_are_named(recordings, sentence):
    with pytest.raises(ValueError, match=sentence):
        HillData(recordings)


@pytest.mark.parametrize("name", ["samples", "chains", "warm_up", "thinning"])
def test_counts_must_be_positive(few, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        fit_hill(few[0], **{name: 0})
