"""What ``--json`` prints is published: the schemas in docs are those of the code."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from reclora_cli.cli import schemas
from reclora_cli.cli.console import Console
from tests.cli import results, results_of_runs, results_of_tools
from tests.cli.conftest import SCHEMAS, Reclora, require_published
from tests.cli.test_help import COMMANDS

MADE_UP: list[tuple[str, Any]] = [
    ("", results_of_tools.home()),
    ("prepare", results.prepare()),
    ("prepare", results.audit()),
    ("init", results_of_tools.new_recipe()),
    ("build-index", results.build_index()),
    ("build-index", results.similar()),
    ("pretrain-crm", results.pretrain_crm()),
    ("pretrain-crm", results.several_crms()),
    ("pretrain-crm", results.tuned_crms()),
    ("finetune", results.finetune()),
    ("finetune", results.tuned_lm()),
    ("evaluate", results.evaluate()),
    ("explain", results.explain()),
    ("export", results.export()),
    ("demo", results.demo()),
    ("runs ls", results_of_runs.listed_runs()),
    ("runs show", results_of_runs.shown_run()),
    ("runs compare", results_of_runs.compared_runs()),
    ("runs rm", results_of_runs.removed_runs()),
    ("report", results_of_runs.written_report()),
    ("config show", results_of_tools.recipe()),
    ("cache ls", results_of_tools.cache()),
    ("cache prune", results_of_tools.pruned()),
    ("doctor", results_of_tools.diagnosis()),
]


def test_every_command_with_json_has_a_schema():
    with_json = {
        name
        for name, command in COMMANDS.items()
        if any("--json" in parameter.opts for parameter in command.params)
    }
    assert set(schemas.RESULTS) == {"", *with_json}


def test_what_is_published_is_what_the_code_says(tmp_path: Path):
    # To publish anew: python -m reclora_cli.cli.schemas docs/schemas
    schemas.write(tmp_path)
    made = {file.name: json.loads(file.read_text()) for file in tmp_path.glob("*.json")}
    published = {file.name: json.loads(file.read_text()) for file in SCHEMAS.glob("*.json")}
    assert published == made


@pytest.mark.parametrize("name", [schemas.file_of(one) for one in schemas.RESULTS] + ["error.json"])
def test_a_published_schema_is_a_valid_schema(name: str):
    Draft202012Validator.check_schema(json.loads((SCHEMAS / name).read_text()))


@pytest.mark.parametrize(("command", "result"), MADE_UP, ids=lambda value: str(value)[:40])
def test_a_result_prints_as_published(
    command: str, result: Any, capsys: pytest.CaptureFixture[str]
):
    Console(json=True).object(asdict(result))
    require_published(command, json.loads(capsys.readouterr().out))


def test_an_object_that_lacks_a_key_is_refused():
    printed = asdict(results_of_tools.cache())
    del printed["entries"]
    with pytest.raises(ValidationError, match="entries"):
        require_published("cache ls", printed)


def test_a_value_of_another_type_is_refused():
    printed = asdict(results_of_tools.cache())
    printed["bytes"] = "many"
    with pytest.raises(ValidationError, match="many"):
        require_published("cache ls", printed)


def test_an_undefined_number_prints_as_null(capsys: pytest.CaptureFixture[str]):
    home = asdict(results_of_tools.home())
    home["holdings"][11]["test"]["figure"]["low"] = float("nan")
    Console(json=True).object(home)
    printed = json.loads(capsys.readouterr().out)
    assert printed["holdings"][11]["test"]["figure"]["low"] is None
    require_published("", printed)


def test_an_error_prints_as_published(reclora: Reclora):
    done = reclora("runs", "show", "nothing", "--json")
    assert done.json["error"]["exit_code"] == done.code == 3
