"""Speeds of plane waves: of the continuum, of wanted conductivities, on inclined fibres."""

import numpy as np
import pytest

from twinjax.cells import (
    BuenoOrovio2008,
    Fabbri2017,
    MitchellSchaeffer2003,
    TenTusscherPanfilov2006,
)
from twinjax.electro import (
    Stimulus,
    Tissue,
    VoxelGrid,
    conduction_speed,
    conductivities_for,
    propagate,
)


def test_the_blended_mass_conducts_at_the_speed_of_the_continuum():
    """0.2237 m/s, which fourth-order differences at 0.0125 mm give."""
    cell = TenTusscherPanfilov2006()
    speed = conduction_speed(cell, 0.0176062, mass="blended", expected=0.22)
    assert speed == pytest.approx(0.2237, rel=0.03)
    assert conduction_speed(cell, 0.0176062, expected=0.22) < 0.16


def test_wanted_speeds_are_found_and_kept():
    cell, options = BuenoOrovio2008(), {"spacing": 0.25, "mass": "blended", "step": 0.05}
    found = conductivities_for(cell, along=0.6, across=0.25, **options)
    speed = conduction_speed(cell, found.conductivity_along, expected=0.6, **options)
    assert speed == pytest.approx(0.6, rel=0.005)
    # In a slab too, along its first edge.
    grid = VoxelGrid(np.ones((60, 2, 2), bool), 0.25)
    tissue = Tissue(grid, cell, mass="blended", **found._asdict())
    stimulus = Stimulus(grid.points[:, 0] < 1.9, -60.0)
    times = propagate(tissue, [stimulus], duration=40.0, step=0.05).observations.activation
    a, b = (grid.nearest((x, 0.25, 0.25)) for x in (7.0, 12.0))
    assert 5.0 / float(times[b] - times[a]) == pytest.approx(0.6, rel=0.01)
    assert found.conductivity_across < 0.5 * found.conductivity_along


@pytest.mark.parametrize("angle", [pytest.param(10, marks=pytest.mark.slow), 35])
def test_fibres_may_lie_at_any_angle(angle):
    """Across them at 0.4 mm, in the middle of a sheet, from a band through it: within 15 %."""
    turn = np.radians(angle)
    fibre, normal = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    grid = VoxelGrid(np.ones((50, 50), bool), 0.4)
    tissue = Tissue(grid, TenTusscherPanfilov2006(), fibres=fibre, mass="blended")
    ahead, aside = ((grid.points - 10.0) @ n for n in (normal, fibre))
    stimulus = Stimulus(np.abs(ahead) < 0.75, -50000 / 1400)
    times = propagate(tissue, [stimulus], duration=15.0, step=0.05).observations.activation
    chosen = (np.abs(aside) < 2) & (ahead > 1.0) & (ahead < 2.2)
    slope = np.polyfit(ahead[chosen], np.asarray(times)[chosen], 1)[0]
    assert 1 / slope == pytest.approx(0.2237, rel=0.15)


def test_mistakes_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match="conductivity must be positive, not 0"):
        conduction_speed(BuenoOrovio2008(), 0.0)
    with pytest.raises(ValueError, match="beats by itself"):
        conduction_speed(Fabbri2017(), 0.1)
    lame = MitchellSchaeffer2003(tau_in=30.0)  # no upstroke
    with pytest.raises(ValueError, match=r"no conductivity up to 5.0 S/m gives .* of 0.6 m/s"):
        conductivities_for(lame, spacing=0.5, step=0.1)
