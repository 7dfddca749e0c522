"""A process that makes one run of a grid: reads a job from standard input, prints what it reached.

It ends when its standard input does: then the process that started it is gone.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

from reclora_cli import recipe as recipes
from reclora_cli.errors import RecloraError
from reclora_cli.pipeline.ablation_models import make
from reclora_cli.recipe import Recipe
from reclora_cli.recipe.yaml_core import parse
from reclora_cli.workspace import Workspace

_INTERRUPTED = 130


def main() -> int:
    """Make the run; the exit code is that of ``reclora``."""
    told = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # What libraries print goes to the log.
    job: dict[str, Any] = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    try:
        reached = make(
            "run",
            _recipe(job["recipe"]),
            _recipe(job["base"]),
            Workspace.find(job["workspace"]),
            device=job["device"],
        )
    except RecloraError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED
    with told:
        json.dump({"reached": reached}, told)
    return 0


def _end_with_the_starter() -> None:
    sys.stdin.read()
    os._exit(_INTERRUPTED)


def _recipe(text: str) -> Recipe:
    tree = parse(text)
    tree.pop("extends")
    return recipes.from_tree(tree)


if __name__ == "__main__":
    raise SystemExit(main())
