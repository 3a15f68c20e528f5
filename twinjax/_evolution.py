"""What the loops of `twinjax` ask of a model."""

import abc
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float


class AbstractPeriodicModel(eqx.Module):
    """A model that evolves in time under a periodic drive.

    Written for speed: what depends on time alone (`drive`) is computed for all times at once,
    before the loop, and what depends on the components alone (`prepare`) once for each run.
    """

    @abc.abstractmethod
    def period(self) -> Float[Array, ""]:
        """Length of one beat [s]."""

    @abc.abstractmethod
    def initial_state(self) -> Any:
        """A plausible state at phase 0."""

    @abc.abstractmethod
    def prepare(self) -> Any:
        """The model in the form in which `drive` and `rates` use it."""

    @abc.abstractmethod
    def drive(self, prepared: Any, phases: Float[Array, " n"]) -> Any:
        """What is known before the loop, with a leading axis over phases (0 to 1)."""

    @abc.abstractmethod
    def rates(self, prepared: Any, state: Any, drive: Any) -> Any:
        """Time derivative of the state [1/s], a tree like the state."""

    @abc.abstractmethod
    def restore(self, state: Any) -> Any:
        """The state with what the equations conserve set to its value in this model."""

    @abc.abstractmethod
    def fastest_rate(self, prepared: Any, drive: Any) -> Float[Array, ""]:
        """A bound on the fastest rate [1/s]; it limits an explicit time step."""

    @abc.abstractmethod
    def observe(self, prepared: Any, state: Any, drive: Any) -> dict[str, Float[Array, ""]]:
        """All waveforms at one time, by name."""
