"""Which artist comes next: LastFM's real sequences and the real LM, from files to figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reclora_cli import device as devices
from reclora_cli.device import could_be_bf16
from reclora_cli.scoring.choice_scorer import Chosen, choose
from reclora_cli.scoring.lm_scorer import Prefix
from reclora_cli.stages import runs
from reclora_cli.stages.assemble import load_speaker
from reclora_cli.stages.next_contestants import put_adapter
from reclora_cli.stages.next_sources import NextSources
from reclora_cli.workspace import Workspace
from tests.e2e.path_100k import Path100K

pytestmark = pytest.mark.e2e

CPU = devices.pick("cpu")
ROWS = 4
CLOSE = 1e-5
QUICK = ["--set", "crm.epochs=1", "--set", "finetune.batch_size=4", "--device", "cpu"]


@pytest.fixture(scope="module")
def walked(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path100K:
    """Prepared, and a hybrid iLoRA tuned on eight sequences."""
    given = real_data / "llara"
    if not (given / "lastfm").is_dir():
        pytest.skip(f"no LastFM of LLaRA in {given}")
    path = Path100K(tmp_path_factory.mktemp("next") / "workspace")
    path.prepared = path.run("prepare", "lastfm", "--from", str(given))
    half = ["--set", "lm.precision=bf16"] if could_be_bf16(CPU, "auto") else []
    path.tuned = path.run("finetune", "--method", "ilora-hybrid", "--shots", "8", *QUICK, *half)
    return path


def test_a_tuned_run_and_its_encoder_choose_among_the_same_real_candidates(
    walked: Path100K,
) -> None:
    assert (walked.prepared["items"], walked.prepared["test"]) == (4606, 122)
    assert walked.tuned["method"] == "ilora-hybrid-k4"
    found = walked.run("evaluate", "--rows", str(ROWS), "--device", "cpu")
    assert [model["kind"] for model in found["models"]] == ["run", "encoder", "popularity"]
    run, encoder = found["models"][:2]
    assert found["candidates_sha256"] == walked.prepared["candidates_sha256"]["test"]
    assert set(run["figures"]) > set(encoder["figures"])
    assert all(0 <= figure["value"] <= 1 for figure in encoder["figures"].values())
    assert walked.run("evaluate", "--rows", str(ROWS), "--device", "cpu")["up_to_date"] is True


def test_ranking_after_one_computed_prompt_is_ranking_by_separate_prompts(
    walked: Path100K,
) -> None:
    workspace = Workspace(walked.root)
    run = runs.choose(workspace, "lastfm", walked.tuned["run"], "next")
    lm = run.recipe.lm.model_copy(update={"precision": "fp32"})
    recipe = run.recipe.model_copy(update={"lm": lm})
    sources, speaker = NextSources(recipe, workspace, CPU), load_speaker(lm, CPU)
    adapter = put_adapter(recipe, sources, speaker, run.artefact.path / "adapter")
    ids = np.array([0, 1])
    answers, candidates = sources.answers(speaker), sources.store.candidates("test")[ids]
    asked: dict[str, Any] = {
        "answers": [[answers[item] for item in row] for row in candidates.tolist()],
        "representation": sources.gate_input(sources.store.split("test").chosen(ids), ids, "test"),
    }
    prompts = sources.questions(speaker, "test", ids)

    def ranked(prefix: Prefix) -> Chosen:
        return choose(
            speaker.lm.model,
            adapter,
            prompts,
            **asked,
            device=CPU,
            end_id=speaker.framing.end_id,
            batch_tokens=4096,
            longest=8,
            prefix=prefix,
            generate=False,
        )

    shared, separate = ranked("always"), ranked("never")
    np.testing.assert_allclose(shared.log_likelihood, separate.log_likelihood, rtol=CLOSE)
    assert separate.log_likelihood.std() > 0.1
    assert shared.computed_tokens < separate.computed_tokens / 3
