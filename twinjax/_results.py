"""One vocabulary for how a computation ended; every message says what to try next."""

import enum


class RESULTS(enum.IntEnum):
    """How a simulation or an equilibrium ended. Traced code carries the integer."""

    successful = 0
    nonfinite = 1
    step_too_long = 2
    not_periodic = 3
    outside_bounds = 4
    no_equilibrium = 5
    not_held = 6
    no_rest = 7
    no_filling = 8

    @property
    def message(self) -> str:
        return _MESSAGES[self]


_MESSAGES = {
    RESULTS.successful: "the computation succeeded",
    RESULTS.nonfinite: (
        "a value became infinite or NaN; check the parameters against their bounds, "
        "or take shorter steps (a heart: raise steps_per_beat)"
    ),
    RESULTS.step_too_long: (
        "the time step is too long for the fastest process of this model; of a heart, an open "
        "valve or a vessel's inertance: raise steps_per_beat, or lower elastances or heart period; "
        "of tissue, conduction between its nearest nodes: raise substeps, or shorten the step"
    ),
    RESULTS.not_periodic: (
        "no periodic beat was found within max_beats; raise max_beats, start from another guess, "
        "or check the parameters against their bounds"
    ),
    RESULTS.outside_bounds: (
        "a parameter lies outside its bounds; see ParameterSpace.info for the valid range"
    ),
    RESULTS.no_equilibrium: (
        "the wall found no equilibrium under its load: stats['load'] is the share that it bore; "
        "lower pressure or tension, lower first_step, or check that cells are not flat and that "
        "the energy is stiff enough"
    ),
    RESULTS.not_held: (
        "nothing holds the wall in its place; fix nodes, or add springs to a surface"
    ),
    RESULTS.no_rest: (
        "the wall found no shape at rest: stats['load'] is the share of its load that could be "
        "taken off; lower pressure or tension, take a stiffer energy, lower first_step, or check "
        "that cells are not flat"
    ),
    RESULTS.no_filling: (
        "the cavities do not take the volumes asked for; ask for volumes nearer to those at rest, "
        "begin at an equilibrium near them, or check that each cavity is closed by wall"
    ),
}
