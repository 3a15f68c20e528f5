"""A run of tissue that was killed goes on to the same digit; what it leaves on the way."""

import equinox as eqx
import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests._kill import kill_at
from tests.electro._interrupted import OPTIONS, WHOLE, case
from twinjax.cells import MitchellSchaeffer2003
from twinjax.electro import Stimulus, Tissue, propagate, run_tissue, slab


def _assert_same(one, other):
    kept = [
        (s.state, s.observations.activation, s.observations.repolarisation) for s in (one, other)
    ]
    for a, b in zip(*map(jax.tree.leaves, kept), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_a_killed_run_goes_on_to_the_same_digit(tmp_path):
    path = tmp_path / "run.h5"
    kill_at(["-m", "tests.electro._interrupted", str(path)], path.with_name("stalled"))
    with h5py.File(path) as file:
        reached = file.attrs["time"]
        early = np.isfinite(file["repolarisation"][:])
    assert reached == WHOLE * OPTIONS["every"]
    assert 0 < early.sum() < early.size  # the features of the whole run are under way
    tissue, stimuli = case()
    seen = []
    resumed = run_tissue(tissue, stimuli, checkpoint=path, progress=seen.append, **OPTIONS)
    np.testing.assert_allclose([s.times[-1] for s in seen], [100.0, 125.0, 150.0], rtol=1e-12)
    _assert_same(resumed, run_tissue(tissue, stimuli, **OPTIONS))
    # In one piece the compiler orders the arithmetic otherwise: only to rounding the same.
    whole = propagate(tissue, stimuli, duration=OPTIONS["duration"], step=OPTIONS["step"])
    np.testing.assert_allclose(
        resumed.observations.activation, whole.observations.activation, rtol=1e-9
    )
    np.testing.assert_allclose(
        resumed.observations.repolarisation, whole.observations.repolarisation, rtol=1e-9
    )
    again = run_tissue(tissue, stimuli, checkpoint=path, **OPTIONS)
    _assert_same(again, resumed)


def _short(**options):
    tissue = Tissue(slab((4.0,), 0.25), MitchellSchaeffer2003())
    stimulus = Stimulus(tissue.grid.within((0.0,), (1.0,)), -40.0)
    return run_tissue(tissue, [stimulus], **({"duration": 3.0, "every": 1.0} | options))


def test_a_longer_duration_prolongs_a_run_and_keeps_its_pace(tmp_path):
    path = tmp_path / "run.h5"
    _short(checkpoint=path, duration=1.5)
    prolonged = _short(checkpoint=path, duration=3.0)
    np.testing.assert_allclose(prolonged.times, [3.0])
    np.testing.assert_allclose(prolonged.state[0].v, _short().state[0].v, rtol=1e-12)


def test_single_precision_stays_single(tmp_path):
    tissue, stimuli = case()
    single = jax.tree.map(lambda x: x.astype("float32") if eqx.is_inexact_array(x) else x, tissue)
    path, options = tmp_path / "run.h5", {"every": 1.0, "step": 0.1}
    run_tissue(single, stimuli, checkpoint=path, duration=1.0, **options)
    gone_on = run_tissue(single, stimuli, checkpoint=path, duration=2.0, **options)
    assert gone_on.state[0].v.dtype == jnp.float32
    _assert_same(gone_on, run_tissue(single, stimuli, duration=2.0, **options))


def test_snapshots_are_of_the_potentials_at_their_times(tmp_path):
    meshio = pytest.importorskip("meshio")
    seen = []
    for ending in (".h5", ".vtu"):
        _short(snapshots=tmp_path / f"wave{ending}", progress=seen.append)
    for steps, done in zip((20, 40, 60), seen, strict=False):
        with h5py.File(tmp_path / f"wave-{steps:08d}.h5") as file:
            assert file.attrs["time"] == pytest.approx(steps * 0.05)
            np.testing.assert_array_equal(file["potential"][:], done.state[0].v)
            assert file["points"].shape == (17, 1)
        read = meshio.read(tmp_path / f"wave-{steps:08d}.vtu")
        np.testing.assert_array_equal(read.point_data["potential"], done.state[0].v)
        np.testing.assert_allclose(read.points[:, 0], 0.25 * np.arange(17))
    listed = (tmp_path / "wave.pvd").read_text()
    assert [f'timestep="{t}" file="wave-{20 * t:08d}.vtu"' in listed for t in (1, 2, 3)] == [
        True
    ] * 3
    assert sorted(f.name for f in tmp_path.iterdir() if f.name.startswith(".")) == []


def test_a_run_may_end_once_all_is_activated():
    done = _short(duration=200.0, every=5.0, until_activated=True)
    last = float(jnp.max(done.observations.activation))
    assert last < float(done.times[-1]) <= last + 5.0
    assert float(done.times[-1]) < 50.0


def test_what_fails_is_not_kept(tmp_path):
    path = tmp_path / "run.h5"
    cell = MitchellSchaeffer2003(tau_out=jnp.nan)
    tissue = Tissue(slab((1.0,), 0.25), cell)
    failed = run_tissue(tissue, [], duration=2.0, every=1.0, checkpoint=path, throw=False)
    assert not failed.ok
    assert float(failed.times[-1]) == 1.0
    assert not path.exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"step": 0.1}, "is of a run with other step: give what that run had"),
        ({"splitting": "strang"}, "is of a run with other splitting"),
        ({"duration": 0.5}, "is at 1 ms, beyond 0.5 ms"),
        ({"snapshots": "wave.png"}, "written as 'wave.png'; valid endings: .h5, .vtu"),
        ({"every": 0.07}, "every = 0.07 ms is no whole number of steps of 0.05 ms"),
    ],
)
def test_mistakes_are_refused_in_one_sentence(tmp_path, change, sentence):
    path = tmp_path / "run.h5"
    _short(checkpoint=path, duration=1.0)
    with pytest.raises(ValueError, match=sentence):
        _short(checkpoint=path, **change)


@pytest.mark.parametrize(
    ("spacing", "cell", "along", "name"),
    [
        (0.5, {}, 0.1, "mesh"),
        (0.25, {"tau_in": 0.4}, 0.1, "cell models"),
        (0.25, {}, 0.2, "conduction"),
    ],
)
def test_a_checkpoint_of_other_tissue_is_refused(tmp_path, spacing, cell, along, name):
    path, options = tmp_path / "run.h5", {"duration": 0.1, "every": 0.1, "checkpoint": None}
    options["checkpoint"] = path
    tissue = Tissue(slab((1.0,), 0.25), MitchellSchaeffer2003(), conductivity_along=0.1)
    run_tissue(tissue, [], **options)
    other = Tissue(slab((1.0,), spacing), MitchellSchaeffer2003(**cell), conductivity_along=along)
    with pytest.raises(ValueError, match=f"is of a run with other {name}: give"):
        run_tissue(other, [], **options)


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    path = tmp_path / "run.h5"
    path.write_bytes(b"no HDF5 at all")
    with pytest.raises(ValueError, match="is damaged or no checkpoint of tissue"):
        _short(checkpoint=path)
    with h5py.File(path, "w") as file:
        file["V"] = 1.0
    with pytest.raises(ValueError, match="is no checkpoint of tissue; give another name"):
        _short(checkpoint=path)
    path.unlink()
    _short(checkpoint=path, duration=1.0)
    with h5py.File(path, "a") as file:
        del file["state/0/v"]
    with pytest.raises(ValueError, match="is damaged or no checkpoint of tissue"):
        _short(checkpoint=path)


def test_going_on_after_a_solution_needs_one_of_the_same_tissue_and_step():
    tissue, stimuli = case()
    done = propagate(tissue, stimuli, duration=1.0, step=0.1)
    with pytest.raises(ValueError, match="took 10 steps for 1 ms: go on with a step of"):
        propagate(tissue, stimuli, duration=1.0, step=0.05, after=done)
    with pytest.raises(ValueError, match="a state to begin with or a solution to go on after"):
        propagate(tissue, stimuli, duration=1.0, step=0.1, after=done, state=done.state)
    cable = Tissue(slab((1.0,), 0.25), MitchellSchaeffer2003())
    with pytest.raises(ValueError, match="to go on after has 52 nodes, the tissue has 5"):
        propagate(cable, [], duration=1.0, step=0.1, after=done)
