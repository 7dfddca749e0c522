"""``reclora export`` as it is typed: what it prints, its JSON, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reclora_cli import recipe
from tests.cli.conftest import Done, Reclora
from tests.tuned_runs import USER, titles
from tests.world import TinyWorld

Export = Callable[..., Done]


@pytest.fixture
def export(reclora: Reclora, tuned: TinyWorld, tmp_path: Path) -> Export:
    """The command on the finished runs, into ``tmp_path / "lora"``."""
    mine = tmp_path / "mine.yaml"
    mine.write_text(recipe.to_yaml(tuned.recipe))
    placed = ["--recipe", mine, "-w", tuned.workspace.root, "--output", tmp_path / "lora"]

    def run(*arguments: str) -> Done:
        return reclora("export", *arguments, *placed, "--device", "cpu")

    return run


def test_a_row_s_mixture_cut_down_tells_what_is_lost(
    export: Export, tuned: TinyWorld, tmp_path: Path
) -> None:
    title = titles(tuned)[-1]
    done = export("--user", USER, "--item", title, "--rank", "3")
    assert done.code == 0, done.err
    text = " ".join(done.out.split())
    assert f"user {USER}, {title} (row " in text
    assert "3, cut down from 8" in text
    assert "% of the update's Frobenius norm" in text
    assert "model.layers.1.self_attn.v_proj" in text
    assert "PeftModel.from_pretrained" in text
    assert "Run: reclora-k4" in done.err
    assert {file.name for file in (tmp_path / "lora").iterdir()} == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    }


def test_json_holds_the_mixture_and_the_error_of_each_projection(
    export: Export, tuned: TinyWorld, tmp_path: Path
) -> None:
    done = export("--user", USER, "--item", titles(tuned)[-1], "--rank", "3", "--json")
    assert done.code == 0, done.err
    told = done.json
    assert (told["rank"], told["full_rank"], told["experts"]) == (3, 8, 4)
    assert told["mixture"]["kind"] == "row"
    assert sum(told["mixture"]["weights"]) == pytest.approx(1, abs=1e-5)
    errors = [projection["relative_error"] for projection in told["projections"]]
    assert len(errors) == 4
    assert min(errors) < told["relative_error"] < max(errors)
    assert told["folder"] == str(tmp_path / "lora")


def test_a_run_without_a_gate_needs_no_user(export: Export) -> None:
    done = export("--run", "lora-r2")
    assert done.code == 0, done.err
    assert "one LoRA for everyone" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--user 42"),
        (["--user", USER], "--average for the mean"),
        (["--user", USER, "--average", "--item", "5"], "--item or --average"),
        (["--user", "no-such", "--average"], "no-such"),
        (["--user", USER, "--item", "no such film"], "no such film"),
        (["--user", USER, "--average", "--rank", "9"], "from 1 to 8, got 9"),
        (["--user", USER, "--average", "--rank", "0"], "--rank"),
        (["--run", "nothing", "--user", USER], "no run is called 'nothing'"),
        (["--run", "lora-r2", "--user", USER], "Leave out --user"),
    ],
)
def test_what_cannot_be_exported_is_a_usage_error_and_writes_nothing(
    export: Export, tmp_path: Path, arguments: list[str], words: str
) -> None:
    done = export(*arguments)
    assert done.code == 2, done.err
    assert words in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "lora").exists()


def test_an_adapter_that_is_there_is_kept_until_force_is_said(
    export: Export, tmp_path: Path
) -> None:
    assert export("--user", USER, "--average").code == 0
    before = (tmp_path / "lora" / "adapter_config.json").read_bytes()
    again = export("--user", USER, "--average", "--rank", "1", "--json")
    assert again.code == again.json["error"]["exit_code"] == 2
    assert "--force" in again.json["error"]["hint"]
    assert (tmp_path / "lora" / "adapter_config.json").read_bytes() == before
    assert export("--user", USER, "--average", "--rank", "1", "--force").code == 0
    assert (tmp_path / "lora" / "adapter_config.json").read_bytes() != before
