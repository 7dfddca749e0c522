"""One training loop for CRM and LM, its schedule and its checkpoints."""

from reclora_cli.training.checkpoint import Checkpoints
from reclora_cli.training.loop import Log, ParameterGroup, Work, fit
from reclora_cli.training.schedule import Constant, Linear, Schedule

__all__ = ["Checkpoints", "Constant", "Linear", "Log", "ParameterGroup", "Schedule", "Work", "fit"]
