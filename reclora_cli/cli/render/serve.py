"""What ``reclora serve`` says when it starts and when it stops."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from reclora_cli.serving.counters import Counts
from reclora_cli.serving.limits import Limits
from reclora_cli.serving.service import Serving


def render(result: Serving) -> RenderableType:
    """Where it is reached, and what is served."""
    served = result.run
    return Group(
        Text.assemble(("Serving ", "strong"), served.run, " at ", (result.url, "key")),
        Text(
            f"{served.dataset}, {served.llm} on {served.device}; every request is described at "
            f"{result.docs}",
            style="faint",
        ),
    )


def stopping(under_way: int, limits: Limits) -> str:
    """The line of the first signal."""
    if not under_way:
        return "Stopping."
    return f"Stopping: {under_way} requests are under way, for {limits.grace_s:g} s at most."


def stopped(counts: Counts, cut: int) -> str:
    """The last line."""
    answered = sum(found.get(200, 0) for found in counts.requests.values())
    refused = sum(counts.turned_away.values())
    left = f", {cut} left unanswered" if cut else ""
    return (
        f"Stopped: {answered} requests answered, {refused} turned away{left}; "
        f"{counts.batches.questions} questions in {counts.batches.n} forward passes."
    )
