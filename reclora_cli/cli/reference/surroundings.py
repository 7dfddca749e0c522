"""Exit codes and environment variables."""

from __future__ import annotations

from reclora_cli.cli.errors import INTERRUPTED
from reclora_cli.cli.reference import markdown
from reclora_cli.errors import CheckError, MissingInputError, RecloraError, UsageError

ENVIRONMENT = {
    "RECLORA_WORKSPACE": "the workspace, without `--workspace`; else `./reclora-workspace`",
    "RECLORA_CACHE": "where LMs and original files lie for all workspaces; else the user's cache",
    "RECLORA_WRITES_FOR": "set by `ablate --jobs` for the runs that it starts; not for people",
    "NO_COLOR": "not empty: no colour, as `--no-color`",
    "COLUMNS": "width of what is printed, where it is no terminal's",
    "HF_HOME": "where the hub's library keeps its models",
    "HF_HUB_OFFLINE": "1: the hub is not asked",
    "HF_ENDPOINT": "another address of the hub",
    "HF_TOKEN": "your token for models of the hub that want one",
    "OMP_NUM_THREADS": "threads to compute with",
    "CUDA_VISIBLE_DEVICES": "the GPUs that are seen; `ablate --jobs` shares them out",
    "PIP_INDEX_URL, PIP_...": "where packaged LMs and data come from, as pip reads it",
}
"""Variables that are read, and what they decide."""


def page() -> str:
    """The page of exit codes and environment variables."""
    codes = [
        ("0", "Done."),
        *(
            (str(kind.exit_code), markdown.paragraph(kind))
            for kind in (RecloraError, UsageError, MissingInputError, CheckError)
        ),
        (str(INTERRUPTED), "Interrupted: the same command, repeated, goes on."),
    ]
    return markdown.page(
        "Exit codes and environment",
        "## Exit codes\n\nWith `--json` a command that fails prints `error` with what, where, hint "
        "and this code ([schema](../schemas/error.json)). `doctor` ends with 1 where something is "
        "broken.\n\n" + markdown.table(("code", "meaning"), codes),
        "## Environment variables\n\n"
        + markdown.table(
            ("variable", "what it decides"),
            [(f"`{name}`", meaning) for name, meaning in ENVIRONMENT.items()],
        ),
    )
