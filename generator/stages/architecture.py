"""The network's architecture, as the site draws it."""

from __future__ import annotations

from generator.core.blueprint import blueprint_to_json
from generator.stages.inputs import Inputs
from generator.stages.run import Run


def write_architecture(inputs: Inputs, run: Run) -> None:
    """Write architecture.json: the whole network, also where the weights end before it does."""
    run.store.tables.write_json("architecture.json", blueprint_to_json(inputs.blueprint))
