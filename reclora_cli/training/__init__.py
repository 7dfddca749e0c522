"""One training loop for CRM and LM, its schedule and its checkpoints."""

from reclora_cli.training.checkpoint import Checkpoints
from reclora_cli.training.log import Log, Logs, StepLog
from reclora_cli.training.loop import fit
from reclora_cli.training.schedule import Constant, Linear, Schedule
from reclora_cli.training.work import ParameterGroup, Work

__all__ = [
    "Checkpoints",
    "Constant",
    "Linear",
    "Log",
    "Logs",
    "ParameterGroup",
    "Schedule",
    "StepLog",
    "Work",
    "fit",
]
