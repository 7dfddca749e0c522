"""The whole path on MovieLens-100K with SmolLM2-135M, through the command line, as a user walks it.

Sizes are small, nothing is replaced: the data, the LM, the CRM and every file are the real ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from reclora_cli.data.store import InteractionsStore
from reclora_cli.lora.interchange_read import read_peft
from tests.e2e.path_100k import BEHAVIOURS, ROWS, SMALL, TUNED, Path100K
from tests.tuned_runs import by_stock_peft

pytestmark = pytest.mark.e2e

KINDS = ("expert", "prompt", "crm", "history", "profile")


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def only(folder: Path) -> Path:
    [found] = folder.iterdir()
    return found


def test_cheap_missing_stages_ran_first(path: Path100K) -> None:
    dataset = path.root / "datasets" / "ml-100k"
    assert (only(dataset / "index") / "manifest.json").is_file()
    assert (only(dataset / "crm") / "manifest.json").is_file()


def test_a_stage_repeated_is_up_to_date(path: Path100K) -> None:
    for command in (["build-index"], ["pretrain-crm", *SMALL], [*TUNED, "--experts", "4"]):
        again = path.run(*command)
        assert again["up_to_date"] is True, command


def test_every_ranked_behaviour_lies_in_its_rows_own_past(path: Path100K) -> None:
    dataset = path.root / "datasets" / "ml-100k"
    store = InteractionsStore(dataset / "store")
    ranked = np.load(only(dataset / "index") / "ranked.npy", mmap_mode="r")
    rows = np.arange(len(store))
    start, end = store.history_bounds(rows)
    there = ranked >= 0
    assert ((ranked < end[:, None]) & (ranked >= start[:, None]))[there].all()
    assert (there.sum(1) == np.minimum(end - start, ranked.shape[1])).all()


def test_a_tuning_refuses_another_writer_and_killed_and_repeated_gives_the_same_adapter(
    path: Path100K,
) -> None:
    folder = Path(path.tuned["artefact"])
    straight = sha256(folder / "adapter" / "adapter.safetensors")
    process = path.start(*TUNED, "--experts", "4", "--force")
    checkpoints = folder / "checkpoints"
    deadline = time.monotonic() + 300
    while not (checkpoints / "step-00000002").is_dir():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGSTOP)
    code, told = path.fails(*TUNED, "--experts", "3")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert (code, f"process {process.pid}" in told) == (1, True), told
    assert not (folder / "manifest.json").exists()
    resumed = path.run(*TUNED, "--experts", "4")
    assert resumed["up_to_date"] is False
    assert sha256(folder / "adapter" / "adapter.safetensors") == straight
    steps = [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]


def test_all_methods_are_scored_on_the_same_rows_with_paired_differences(path: Path100K) -> None:
    runs = [part for run in (path.tuned, path.plain) for part in ("--run", run["run"])]
    result = path.run("evaluate", "--rows", str(ROWS), "--zero-shot", *runs, *SMALL)
    assert (result["rows"], result["subset"]) == (ROWS, True)
    assert {scored["kind"] for scored in result["models"]} == {"run", "crm", "zero-shot"}
    assert len(result["differences"]) == 3
    files = list(path.root.rglob("scores/test-*.parquet"))
    assert len(files) == 4
    row_ids = [tuple(pd.read_parquet(file)["row_id"]) for file in files]
    assert len(set(row_ids)) == 1
    for file in files:
        assert pd.read_parquet(file)["probability"].between(0, 1).all()


def test_explain_shows_weights_that_sum_to_one_the_rows_own_prompt_and_a_picture(
    path: Path100K, tmp_path: Path
) -> None:
    file = tmp_path / "gate.png"
    shown = path.run("explain", "--user", "42", "--plot", str(file))
    assert file.read_bytes().startswith(b"\x89PNG")
    assert file.stat().st_size > 20_000
    assert shown["run"] == path.tuned["run"]
    assert shown["user"] == "42"
    gate = shown["gate"]
    for weights in (gate["row"], gate["user"], gate["average"], *gate["by_projection"]):
        assert len(weights) == 4
        assert sum(weights) == pytest.approx(1, abs=1e-4)
    assert len(gate["by_layer"]) == 30
    assert len(gate["projections"]) == 60
    assert gate["user_rows"] == sum(shown["rows"].values())
    assert f"***{shown['target']['title']}***" in shown["prompt"]
    assert len(shown["behaviours"]) == BEHAVIOURS
    assert 0 < shown["probability"] < 1


def test_experts_and_what_ifs_are_told_of_the_real_run(path: Path100K, tmp_path: Path) -> None:
    run = ["--run", path.tuned["run"]]
    described = path.run("explain", "--experts", *run)
    assert [one["expert"] for one in described["experts"]] == [0, 1, 2, 3]
    assert described["users"] > 500
    file = tmp_path / "tornado.svg"
    asked = ["--what-if", "--questions", "8", "--with-history-of", "42", "--plot", str(file)]
    told = path.run("explain", *run, "--user", "42", *asked)
    found = {kind: [one for one in told["changes"] if one["kind"] == kind] for kind in KINDS}
    assert [one["difference"] for one in found["history"]] == [0.0]  # The user's own.
    assert any(one["difference"] for one in found["prompt"])
    assert 0 < max(one["gate_moved"] for one in found["crm"]) < 1
    assert len(found["crm"]) <= 60
    assert told["precision"] == "float32"
    assert "<svg" in file.read_text(encoding="utf-8")


def test_stock_peft_scores_an_exported_mixture_as_the_run_scores_its_row(
    path: Path100K, tmp_path: Path
) -> None:
    run = ["--run", path.tuned["run"], "--user", "42"]
    for name in ("Heat (1995)", "Fargo (1996)"):
        said = path.run("explain", *run, "--item", name)
        folder = tmp_path / name
        result = path.run("export", *run, "--item", name, "--output", str(folder))
        assert (result["rank"], result["relative_error"]) == (32, 0)
        assert result["mixture"]["weights"] == pytest.approx(said["gate"]["row"], abs=1e-4)
        base = Path(result["base_model"])
        again = by_stock_peft(base, folder, said["prompt"])
        assert again == pytest.approx(said["probability"], abs=1e-5)
    bare = by_stock_peft(base, None, said["prompt"])
    assert abs(bare - again) > 1e-3, "the adapter matters"


def test_an_export_of_rank_8_reports_the_error_that_it_has(path: Path100K, tmp_path: Path) -> None:
    row = ["export", "--run", path.tuned["run"], "--user", "42", "--item", "Heat (1995)"]
    path.run(*row, "--output", str(tmp_path / "whole"))
    result = path.run(*row, "--rank", "8", "--output", str(tmp_path / "cut"))
    assert (result["rank"], result["full_rank"], len(result["projections"])) == (8, 32, 60)
    whole, cut = read_peft(tmp_path / "whole").pairs(), read_peft(tmp_path / "cut").pairs()
    lost = of_all = 0.0
    for told in result["projections"]:
        update = whole[told["name"]].B @ whole[told["name"]].A
        gap = cut[told["name"]].B @ cut[told["name"]].A - update
        assert told["relative_error"] == pytest.approx(float(gap.norm() / update.norm()), rel=1e-3)
        lost, of_all = lost + float(gap.square().sum()), of_all + float(update.square().sum())
    assert 0.01 < result["relative_error"] < 1
    assert result["relative_error"] == pytest.approx((lost / of_all) ** 0.5, rel=1e-3)


def test_somebody_new_with_five_ratings_is_recommended_what_they_have_not_rated(
    path: Path100K, tmp_path: Path
) -> None:
    history = tmp_path / "history.jsonl"
    rated = ["Heat (1995)", "Toy Story (1995)", "Fargo (1996)", "Alien (1979)", "Scream (1996)"]
    lines = [f'{{"item": "{title}", "rating": {at + 1}}}' for at, title in enumerate(rated)]
    history.write_text("\n".join(lines))
    told = path.run("recommend", "--history", str(history), "--top", "3", "--candidates", "6")
    assert told["user"] is None
    assert (told["history"], told["candidates"], told["pool"]) == (5, 6, 1682 - 5)
    found = told["recommendations"]
    assert [one["rank"] for one in found] == [1, 2, 3]
    chances = [one["probability"] for one in found]
    assert chances == sorted(chances, reverse=True)
    assert not {one["title"] for one in found} & {*rated}
    assert all(said["title"] in rated for one in found for said in one["behaviours"])


def test_the_api_answers_many_at_once_as_each_alone(path: Path100K) -> None:
    process = path.start("serve", "--run", path.tuned["run"], "--port", "0", "--wait", "1000")
    assert process.stdout
    try:
        url = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")["url"]
        bodies = [{"pairs": [{"user": user, "item": "Heat (1995)"}]} for user in range(1, 13)]

        def ask(body: dict[str, Any]) -> float:
            done = httpx.post(f"{url}/v1/score", json=body, timeout=300)
            assert done.status_code == 200, done.text
            return done.json()["scores"][0]["probability"]

        alone = [ask(body) for body in bodies[:4]]
        with ThreadPoolExecutor(len(bodies)) as pool:
            mixed = list(pool.map(ask, bodies))
        sizes = httpx.get(f"{url}/v1/stats").json()["batches"]["sizes"]
    finally:
        process.terminate()
        process.communicate(timeout=120)
    assert process.returncode == 0
    assert max(map(int, sizes)) > 6
    assert mixed[:4] == pytest.approx(alone, abs=1e-5)


def test_show_prints_the_prompt_of_a_row(path: Path100K) -> None:
    shown = path.run("show", "--split", "test", "--rows", "0:2", "--behaviours", "5")
    assert len(shown["rows"]) == 2
    for row in shown["rows"]:
        assert row["prompt"].startswith("The user is a ")
        assert row["prompt"].endswith("You should ONLY tell me yes or no.")
        assert row["answer"] in {"Yes.", "No."}
        assert row["prompt_tokens"] > 50


def test_a_dry_run_predicts_and_writes_nothing(path: Path100K) -> None:
    before = sorted(path.root.rglob("*"))
    planned = path.run("finetune", "--experts", "16", "--shots", "70000", "--dry-run")
    assert planned["plan"]["rows"] == 70_000
    assert planned["plan"]["tokens"] > 70_000 * 100
    assert planned["trainable_parameters"] > 7_000_000
    assert sorted(path.root.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["finetune", "--shots", "99999999"], 2, "training rows"),
        (["explain", "--user", "no-such"], 2, "no-such"),
        (["finetune", "--method", "rela"], 2, "rella"),
        (["evaluate", "--run", "nothing"], 2, "nothing"),
        (["finetune", "--set", "adapter.rnak=4"], 2, "rank"),
    ],
)
def test_mistakes_are_told_with_their_exit_code(
    path: Path100K, arguments: Sequence[str], code: int, words: str
) -> None:
    returned, told = path.fails(*arguments)
    assert returned == code, told
    assert words in told
    assert "Traceback" not in told
