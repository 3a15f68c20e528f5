"""Markov schemes: fractions that move between states, and a step that loses none of them."""

from typing import Any, NamedTuple

Transitions = dict[tuple[str, str], Any]  # (from, to): rate [1/ms]


class Occupancy(NamedTuple):
    """The rate of one state of a Markov scheme, whose transitions all its states share.

    A gate that is relaxed alone may take what its neighbours keep, and with fast transitions the
    fractions soon sum to anything. Integrators therefore step a scheme as a whole (`occupancies`).
    """

    slope: Any  # [1/ms]
    transitions: Transitions

    def rate(self, value: Any) -> Any:
        """dx/dt [1/ms], which knows its value already."""
        return self.slope


def markov(state: Any, transitions: Transitions) -> dict[str, Occupancy]:
    """Rates by field of a scheme whose states are fields of `state`."""
    slopes: dict[str, Any] = {}
    for (origin, target), rate in transitions.items():
        flow = rate * getattr(state, origin)
        slopes[origin] = slopes.get(origin, 0.0) - flow
        slopes[target] = slopes.get(target, 0.0) + flow
    return {name: Occupancy(slope, transitions) for name, slope in slopes.items()}


def occupancies(state: Any, transitions: Transitions, length: Any) -> dict[str, Any]:
    """Fractions by field after `length` [ms] under constant transitions.

    Two half steps of the implicit Euler method, twice, less one whole step: of second order,
    without a limit by fast transitions (all modes are damped), and linear in the fractions with
    their sum unchanged.
    """
    before = {name: getattr(state, name) for pair in transitions for name in pair}
    half, whole = _eliminated(transitions, length / 2), _eliminated(transitions, length)
    twice, once = _solved(half, _solved(half, before)), _solved(whole, before)
    return {name: 2 * twice[name] - once[name] for name in before}


def _eliminated(transitions: Transitions, length: Any) -> list[tuple[str, Any, dict, dict]]:
    """Gauss's elimination of (1 - h A): state, divisor, inflows and outflows at its turn.

    As by Grassmann, Taksar and Heyman 1985 (Oper Res 33:1107) no difference is formed: a state
    that is eliminated hands its inflows on, so that what enters is positive and keeps its digits.
    """
    flows = {pair: length * rate for pair, rate in transitions.items()}
    stay = {name: 1.0 for pair in transitions for name in pair}
    steps = []
    while stay:
        # The state with the fewest neighbours, so that few new transitions arise.
        name = min(stay, key=lambda s: sum(s in pair for pair in flows))
        out = {target: flows[o, target] for o, target in list(flows) if o == name}
        into = {origin: flows[origin, t] for origin, t in list(flows) if t == name}
        divisor = sum(out.values(), stay[name])
        steps.append((name, divisor, into, out))
        flows = {pair: flow for pair, flow in flows.items() if name not in pair}
        for origin, flow in into.items():
            share = flow / divisor
            stay[origin] = stay[origin] + share * stay[name]
            for target, onward in out.items():
                if target != origin:
                    flows[origin, target] = flows.get((origin, target), 0.0) + share * onward
        del stay[name]
    return steps


def _solved(steps: list[tuple[str, Any, dict, dict]], before: dict[str, Any]) -> dict[str, Any]:
    pending = dict(before)
    for name, divisor, _, out in steps:
        share = pending[name] / divisor
        for target, flow in out.items():
            pending[target] = pending[target] + share * flow
    after: dict[str, Any] = {}
    for name, divisor, into, _ in reversed(steps):
        gained = sum((flow * after[origin] for origin, flow in into.items()), pending[name])
        after[name] = gained / divisor
    return after
