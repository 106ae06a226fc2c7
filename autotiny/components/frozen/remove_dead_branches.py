"""Keep of each conditional whose condition is constant only the branch that is taken.

Wegman and Zadeck, "Constant Propagation with Conditional Branches", 1991. A conditional that stays
would need an interpreter on the microcontroller: what is left of it here is plain ops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autotiny.components.base import Component, Work
from autotiny.components.frozen._grappler import run_passes
from autotiny.errors import NotApplicable
from autotiny.model import (
    FrozenGraph,
    GraphDef,
    Level,
    Model,
    NodeDef,
    freeze,
    graph_def,
    successor,
    tensorflow,
)

CONDITIONALS = ("If", "StatelessIf")
SWITCHES = ("Switch", "_SwitchN")
"""Conditionals that freezing has opened: the data leaves by the port of the branch taken."""


@dataclass(frozen=True)
class RemoveDeadBranches(Component):
    """Replaces conditionals of a known outcome by that outcome, inlined."""

    name = "remove_dead_branches"
    level = Level.GRAPH
    levels = (Level.KERAS, Level.GRAPH)

    def apply(self, model: Model, work: Work) -> Model:
        """The model without decided conditionals."""
        before = freeze(model)
        # A condition may be computed from constants: those are folded first.
        network, decided = run_passes(before.frozen, ("constfold",)), 0
        while True:
            definition = graph_def(network)
            found = _take_branches(definition) + _open_switches(definition)
            if not found:
                break
            decided += found
            data = definition.SerializeToString(deterministic=True)
            network = FrozenGraph(data, network.inputs, network.outputs)
            network = run_passes(network, ("function", "constfold", "pruning"))
        if not decided:
            raise NotApplicable("remove_dead_branches: no conditional has a constant condition")
        return successor(before, network)


def _constant(definition: GraphDef, tensor: str) -> int | None:
    """The value of a constant, or None if a tensor is computed."""
    for node in definition.node:
        if node.name == tensor.partition(":")[0] and node.op == "Const":
            return int(tensorflow().make_ndarray(node.attr["value"].tensor).item())
    return None


def _take_branches(definition: GraphDef) -> int:
    """Turns each decided conditional into a call of its branch; says how many there were."""
    found = 0
    for node in definition.node:
        value = _constant(definition, node.input[0]) if node.op in CONDITIONALS else None
        if value is None:
            continue
        call = type(node)(name=node.name, op="PartitionedCall", input=node.input[1:])
        for name in ("Tin", "Tout"):
            call.attr[name].CopyFrom(node.attr[name])
        branch = node.attr["then_branch" if value else "else_branch"]
        call.attr["f"].CopyFrom(branch)
        node.CopyFrom(call)
        found += 1
    return found


def _open_switches(definition: GraphDef) -> int:
    """Takes decided switches out, with all that hangs on their other ports; says how many."""
    taken: dict[str, int] = {}
    for node in definition.node:
        value = _constant(definition, node.input[1]) if node.op in SWITCHES else None
        if value is not None:
            ports = node.attr["num_outs"].i if node.op == "_SwitchN" else 2
            # An index that is out of range takes the last branch.
            taken[node.name] = value if 0 <= value < ports else ports - 1
    dead = _dead(definition, taken)
    left = []
    for node in definition.node:
        if node.name in dead:
            continue
        if node.name in taken:
            node.CopyFrom(_identity(node, node.input[0]))
        alive = [source for source in node.input if not _is_dead(source, dead, taken)]
        if node.op == "Merge" and len(alive) == 1:
            node.CopyFrom(_identity(node, alive[0]))
        for place, source in enumerate(node.input):
            name, _, _ = source.partition(":")
            if name in taken:
                node.input[place] = name
        left.append(node)
    del definition.node[:]
    definition.node.extend(left)
    return len(taken)


def _dead(definition: GraphDef, taken: Mapping[str, int]) -> set[str]:
    """Nodes that only a branch that is never taken computes."""
    dead: set[str] = set()
    while True:
        before = len(dead)
        for node in definition.node:
            lost = [_is_dead(source, dead, taken) for source in node.input]
            if lost and (all(lost) if node.op == "Merge" else any(lost)):
                dead.add(node.name)
        if len(dead) == before:
            return dead


def _is_dead(source: str, dead: set[str], taken: Mapping[str, int]) -> bool:
    name, _, port = source.lstrip("^").partition(":")
    if name in taken and not source.startswith("^"):
        return int(port or 0) != taken[name]
    return name in dead


def _identity(node: NodeDef, source: str) -> NodeDef:
    identity = type(node)(name=node.name, op="Identity", input=[source])
    identity.attr["T"].CopyFrom(node.attr["T"])
    return identity
