"""Our cell models run by Myokit's CVODE: the peer for speed, and a check on every integrator.

Myokit compiles equations to C. They are taken from the model's own `derivatives`, operation by
operation, as JAX traces them, so that both programs integrate the same right-hand side.
"""

from typing import Any

import jax
import jax.numpy as jnp
import myokit
import numpy as np
from jax.extend import core

from twinjax.cells import AbstractCell

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "^"}
_COMPARE = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "=="}
_CALL = {"exp": "exp", "log": "log", "sqrt": "sqrt", "abs": "abs", "tan": "tan", "cos": "cos"}


def simulation(
    cell: AbstractCell, cycle_length: float, tolerance: float
) -> tuple[myokit.Simulation, list[str]]:
    """A simulation of the cell under its own stimulus, and the names of its state variables."""
    model, names = _model(cell)
    assert cell.about.stimulus is not None
    protocol = myokit.pacing.blocktrain(cycle_length, cell.about.stimulus[1])
    run = myokit.Simulation(model, protocol)
    run.set_tolerance(tolerance, tolerance)
    return run, names


def _model(cell: AbstractCell) -> tuple[myokit.Model, list[str]]:
    state = cell.initial_state()
    assert cell.about.stimulus is not None
    amplitude = cell.about.stimulus[0]
    fields = state._fields
    arguments = (*(jnp.asarray(x, float) for x in state), jnp.asarray(0.0))
    traced = jax.make_jaxpr(
        lambda *a: tuple(cell.derivatives(type(state)(*a[:-1]), amplitude * a[-1]))
    )(*arguments)
    text = ["[[model]]", *(f"c.s{i} = {_number(x)}" for i, x in enumerate(state)), ""]
    text += ["[engine]", "time = 0 bind time", "pace = 0 bind pace", "", "[c]"]
    names = [*(f"s{i}" for i in range(len(fields))), "engine.pace"]
    lines: list[str] = []
    results = _write(traced.jaxpr, traced.consts, names, lines)
    text += [f"dot(s{i}) = {result}" for i, result in enumerate(results)]
    model = myokit.parse_model("\n".join([*text, *lines]) + "\n")
    return model, [f"c.s{i}" for i in range(len(fields))]


def _number(value: Any) -> str:
    return repr(float(np.asarray(value)))


def _write(jaxpr: Any, consts: Any, arguments: list[str], lines: list[str]) -> list[str]:
    """Adds a line for each operation; the names of the results."""
    named = dict(zip(jaxpr.invars, arguments, strict=True))
    named |= {var: _number(value) for var, value in zip(jaxpr.constvars, consts, strict=True)}

    def name(atom: Any) -> str:
        return _number(atom.val) if isinstance(atom, core.Literal) else named[atom]

    for equation in jaxpr.eqns:
        inputs = [name(atom) for atom in equation.invars]
        inner = next((v for v in equation.params.values() if hasattr(v, "jaxpr")), None)
        if inner is not None:
            results = _write(inner.jaxpr, inner.consts, inputs, lines)
        else:
            results = [_expression(equation, inputs)]
            # Conditions stay expressions, in brackets: Myokit's variables are numbers.
            if results != inputs[:1] and not results[0].startswith("("):
                lines.append(f"x{len(lines)} = {results[0]}")
                results = [f"x{len(lines) - 1}"]
        named |= dict(zip(equation.outvars, results, strict=True))
    return [name(atom) for atom in jaxpr.outvars]


def _expression(equation: Any, inputs: list[str]) -> str:
    kind, first = equation.primitive.name, inputs[0]
    if kind in _INFIX:
        return (
            f"{first} {_INFIX[kind]} {inputs[1]}"
            if not first.startswith("-")
            else (f"0 + {first} {_INFIX[kind]} {inputs[1]}")
        )
    if kind in _COMPARE:
        return f"({first} {_COMPARE[kind]} {inputs[1]})"
    if kind in _CALL:
        return f"{_CALL[kind]}({first})"
    match kind:
        case "neg":
            return f"0 - {first}"
        case "integer_pow":
            return _power(first, equation.params["y"])
        case "expm1":
            return f"exp({first}) - 1"
        case "logistic":
            return f"1 / (1 + exp(0 - {first}))"
        case "tanh":
            return f"1 - 2 / (1 + exp(2 * {first}))"
        case "max":
            return f"if({first} > {inputs[1]}, {first}, {inputs[1]})"
        case "min":
            return f"if({first} < {inputs[1]}, {first}, {inputs[1]})"
        case "select_n":
            return f"if({first}, {inputs[2]}, {inputs[1]})"
        case "not":
            return f"(not {first})"
        case "and" | "or":
            return f"({first} {kind} {inputs[1]})"
        case "convert_element_type" | "copy" | "broadcast_in_dim":
            return first
    raise NotImplementedError(f"Myokit has no counterpart of {kind}")


def _power(base: str, exponent: int) -> str:
    product = " * ".join([base] * abs(exponent)) or "1"
    return product if exponent >= 0 else f"1 / ({product})"
