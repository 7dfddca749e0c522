"""The graph of stages, and running one with what it needs."""

from reclora_cli.pipeline.graph import ensure, needs, pending, run

__all__ = ["ensure", "needs", "pending", "run"]
