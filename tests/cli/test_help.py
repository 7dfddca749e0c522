"""``--help`` is quick, short, grouped, and says how each command is called."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from typing import Any

import pytest
import typer

from reclora_cli.cli.app import app
from tests.cli.conftest import Reclora, clean_environment, command_line

ROOT = typer.main.get_command(app)


def commands(group: Any, before: str = "") -> dict[str, Any]:
    """Every command by what is typed; those of a group as ``group name``."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        inner = hasattr(command, "commands")
        found |= commands(command, f"{name} ") if inner else {f"{before}{name}": command}
    return found


COMMANDS = commands(ROOT)
HEAVY = (
    "torch",
    "transformers",
    "pandas",
    "numpy",
    "peft",
    "sklearn",
    "pyarrow",
    "matplotlib",
    "fastapi",
)

_SHARED = {
    "output": {"--json", "--quiet/-q", "--verbose/-v", "--no-color", "--debug"},
    "place": {"--workspace/-w"},
    "recipe": {"--recipe", "--set", "--seed"},
    "running": {"--device", "--no-deps", "--yes/-y"},
    "writing": {"--force", "--dry-run"},
}
_OFTEN = set.union(*_SHARED.values())

FLAGS: dict[str, set[str]] = {
    "init": {"[file]", "--task", "--dataset", "--from", "--size", "--method", "--llm", "--model"}
    | {"--experts", "--shots", "--yes/-y", "--force"}
    | _SHARED["place"]
    | _SHARED["output"],
    "prepare": {"[dataset]", "--from", "--init", "--audit"} | _OFTEN,
    "build-index": {"--similar", "--count", "--llm"} | _OFTEN,
    "pretrain-crm": {"--model", "--epochs", "--log", "--tune", "--trials", "--budget"} | _OFTEN,
    "finetune": {"--experts", "--shots", "--llm", "--method", "--preset", "--epochs", "--log"}
    | {"--start-from", "--from-run", "--tune", "--trials", "--budget", "--valid-rows"}
    | _OFTEN,
    "evaluate": {"--rows", "--split", "--run", "--zero-shot", "--crm/--no-crm", "--lm/--no-lm"}
    | {"--reference", "--model", "--by", "--plot", "--save"}
    | _OFTEN,
    "ablate": {"--table", "--figure", "--variants", "--size", "--seeds", "--jobs"}
    | {"--clusters", "--cluster-rows"}
    | (_OFTEN - {"--force"}),
    "explain": {"--user", "--item", "--row", "--split", "--run", "--plot", "--recipe"}
    | {"--experts", "--what-if", "--questions", "--change", "--with-history-of"}
    | _SHARED["place"]
    | _SHARED["running"]
    | _SHARED["output"],
    "export": {"--user", "--item", "--average", "--run", "--rank", "--output", "--force"}
    | {"--device", "--recipe"}
    | _SHARED["place"]
    | _SHARED["output"],
    "recommend": {"--user", "--top", "--run", "--save", "--history", "--profile", "--genre"}
    | {"--from-candidates", "--candidates", "--by", "--recipe"}
    | _SHARED["place"]
    | _SHARED["running"]
    | _SHARED["output"],
    "predict": {"--input", "--output", "--run", "--crm", "--model", "--strict", "--force"}
    | _SHARED["recipe"]
    | _SHARED["place"]
    | _SHARED["running"]
    | _SHARED["output"],
    "serve": {"--run", "--host", "--port", "--queue", "--timeout", "--wait", "--grace"}
    | _SHARED["recipe"]
    | _SHARED["place"]
    | _SHARED["running"]
    | _SHARED["output"],
    "show": {"--split", "--rows", "--behaviours", "--recent", "--llm"}
    | _SHARED["recipe"]
    | _SHARED["place"]
    | _SHARED["running"]
    | _SHARED["output"],
    "runs ls": {"--dataset"} | _SHARED["place"] | _SHARED["output"],
    "runs show": {"[run]"} | _SHARED["place"] | _SHARED["output"],
    "runs compare": {"[first]", "[second]"} | _SHARED["place"] | _SHARED["output"],
    "runs rm": {"[names]", "--unfinished", "--yes/-y"} | _SHARED["place"] | _SHARED["output"],
    "config show": {"--origin", "--llm", "--method", "--preset", "--model", "--experts", "--shots"}
    | _SHARED["recipe"]
    | _SHARED["place"]
    | _SHARED["output"],
    "cache ls": _SHARED["output"],
    "cache prune": {"[names]", "--older-than", "--all", "--dry-run", "--yes/-y"}
    | _SHARED["output"],
    "doctor": {"--offline", "--speed/--no-speed", "--device"}
    | _SHARED["place"]
    | _SHARED["output"],
    "report": {"--output"} | _SHARED["place"] | _SHARED["output"],
    "demo": {"--method", "--shots", "--rows", "--seed", "--device", "--yes/-y"}
    | _SHARED["place"]
    | _SHARED["output"],
}
"""Every flag a user may have written into a script. Removing or renaming one breaks them."""


def flags(command: Any) -> set[str]:
    found = set()
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            found.add(f"[{parameter.name}]")
        else:
            long_first = sorted(parameter.opts, key=lambda name: not name.startswith("--"))
            found.add("/".join([*long_first, *parameter.secondary_opts]))
    return found


def test_the_commands_are_these():
    assert set(COMMANDS) == set(FLAGS)


@pytest.mark.parametrize("name", FLAGS)
def test_the_flags_of_a_command_stay(name: str):
    assert flags(COMMANDS[name]) == FLAGS[name]


def test_the_first_screen_groups_the_commands_and_is_short(reclora: Reclora):
    text = reclora("--help").out
    panels = re.findall(r"─ (Data|Train|Evaluate|Inspect|Tools) ─", text)
    assert panels == ["Data", "Train", "Evaluate", "Inspect", "Tools"]
    assert len(text.splitlines()) <= 51
    assert "reclora demo" in text


@pytest.mark.parametrize("name", FLAGS)
def test_each_commands_help_has_an_example(reclora: Reclora, name: str):
    done = reclora(*name.split(), "--help")
    assert done.code == 0
    assert f"Example: reclora {name}" in done.out


@pytest.mark.parametrize("name", FLAGS)
def test_the_example_of_a_command_parses(name: str):
    import shlex

    example = re.sub(r"\[/?cyan\]|Example: ", "", COMMANDS[name].epilog)
    typed = ["reclora", *name.split()]
    words = shlex.split(example)
    assert words[: len(typed)] == typed
    COMMANDS[name].make_context(name, words[len(typed) :])


@pytest.mark.parametrize("name", [None, *FLAGS])
def test_every_option_says_what_it_does(name: str | None):
    command = COMMANDS[name] if name else ROOT
    silent = [p.name for p in command.params if not getattr(p, "hidden", False) and not p.help]
    assert silent == []


@pytest.mark.parametrize(
    "arguments", [["--help"], ["finetune", "--help"], ["runs", "rm", "--help"], ["--version"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]):
    script = (
        "import sys\n"
        "from reclora_cli.cli.app import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines()[-1] == "[]"


def test_help_answers_within_half_a_second():
    # Processor time: what the clock would show on a machine that does nothing else.
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            command_line(["--help"]), env=clean_environment(), capture_output=True, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5


def test_the_methods_that_help_names_are_those_that_tune():
    from reclora_cli import recipe

    [method] = [p for p in COMMANDS["finetune"].params if p.name == "method"]
    named = set(re.findall(r"[a-z][a-z0-9-]*", method.help.partition(". Default")[0])) - {"or"}
    assert named == set(recipe.names("methods")) - {"zero-shot"}


def test_the_lms_and_presets_that_help_names_are_those_that_are_shipped():
    from reclora_cli import recipe

    helps = {p.name: p.help for p in COMMANDS["finetune"].params}
    named = helps["llm"].partition("shipped settings of one: ")[2].rstrip(".")
    assert sorted(named.split(", ")) == recipe.names("llms")
    assert helps["preset"].partition(":")[0].split(" or ") == recipe.names("presets")


def test_the_version_is_the_installed_one(reclora: Reclora):
    from importlib import metadata

    done = reclora("--version")
    assert (done.code, done.out) == (0, f"reclora {metadata.version('reclora')}\n")
