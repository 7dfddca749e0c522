"""``reclora doctor``: is everything here that is needed, whole, and as fast as it should be?

Nothing is written and nothing is fetched.
"""

from __future__ import annotations

import threading

from reclora_cli.progress import SILENT, Progress
from reclora_cli.stages import cache
from reclora_cli.stages.doctor import packages
from reclora_cli.stages.doctor.findings import (
    FAIL,
    OK,
    SKIPPED,
    WARN,
    Check,
    Diagnosis,
    SourceState,
)
from reclora_cli.workspace import Workspace, cache_folder, git_revision

__all__ = ["FAIL", "OK", "SKIPPED", "WARN", "Check", "Diagnosis", "run"]


def run(
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    offline: bool = False,
    speed: bool = True,
    device: str = "auto",
) -> Diagnosis:
    """Look at everything. What is broken is told, not raised.

    Args:
        offline: ask no server.
        speed: measure for about five seconds.
        device: what is measured.

    Raises:
        UsageError: no such device here.
    """
    found = packages.checks()
    versions, build = packages.versions(), packages.torch_build()
    if any(check.state == FAIL for check in found):
        # Without its packages the rest of reclora cannot even be imported.
        return Diagnosis(False, versions, build, git_revision(), None, [], None, None, None, found)
    return _whole(workspace, progress, found, versions, build, offline, speed, device)


def _whole(
    workspace: Workspace,
    progress: Progress,
    found: list[Check],
    versions: dict[str, str],
    build: str,
    offline: bool,
    with_speed: bool,
    device: str,
) -> Diagnosis:
    from reclora_cli import device as devices
    from reclora_cli.stages.doctor import cache_health, machine, sources, speed, workspace_health

    chosen = devices.pick(device)
    states: list[SourceState] = []
    asking = threading.Thread(
        target=lambda: states.extend(sources.look(offline=offline)), daemon=True
    )
    asking.start()  # Servers answer while disks are read.
    facts = machine.look(workspace.root, cache_folder())
    kept = cache.look()
    health = workspace_health.look(workspace, progress)
    asking.join()
    if with_speed:
        progress.say("measuring for about five seconds")
    measured = speed.measure(chosen) if with_speed else None
    found = [
        *found,
        *machine.checks(facts),
        *sources.checks(states),
        *cache_health.checks(kept),
        *workspace_health.checks(health),
        *(speed.checks(measured) if measured else []),
    ]
    usable = all(check.state != FAIL for check in found)
    return Diagnosis(
        usable, versions, build, git_revision(), facts, states, kept, health, measured, found
    )
