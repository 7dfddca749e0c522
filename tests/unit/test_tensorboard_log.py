"""``--log tensorboard``: event files as tensorboard's own reader reads them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reclora_cli.errors import MissingInputError
from reclora_cli.recipe import Recipe
from reclora_cli.stages import crm_training, finetune, locate, pretrain_crm
from reclora_cli.training.tensorboard import TensorBoardLog, require_tensorboard
from tests.unit.test_pretrain_crm import KilledError, _stop_at, changed
from tests.world import TinyWorld


def read(folder: Path) -> EventAccumulator:
    """Everything, as TensorBoard would show it."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    return events.Reload()


def points(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read(folder).Scalars(tag)]


def logged(artefact: str) -> list[dict]:
    lines = (Path(artefact) / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def din(tiny_copy: TinyWorld) -> Recipe:
    return changed(tiny_copy.recipe)


def test_a_trainings_scalars_are_those_of_its_log(tiny_copy: TinyWorld, din: Recipe) -> None:
    result = pretrain_crm.run(din, tiny_copy.workspace, device="cpu", tensorboard=True)
    folder = Path(result.artefact) / "tensorboard"
    steps = [line for line in logged(result.artefact) if "loss" in line]
    passes = [line for line in logged(result.artefact) if "all" in line]

    for tag, name in (("train/loss", "loss"), ("train/learning_rate", "learning_rate")):
        expected = [(line["step"], pytest.approx(line[name], rel=1e-6)) for line in steps]
        assert points(folder, tag) == expected
    for whose in ("all", "seen", "unseen", "as-test"):
        for metric in ("auc", "log_loss"):
            expected = [(p["step"], pytest.approx(p[whose][metric], rel=1e-6)) for p in passes]
            assert points(folder, f"validation/{metric}/{whose}") == expected
    rates = points(folder, "train/rows_per_second")
    assert [step for step, _ in rates] == [line["step"] for line in steps]
    assert all(rate > 0 for _, rate in rates)


def test_the_recipe_stands_beside_the_scalars_as_text(tiny_copy: TinyWorld, din: Recipe) -> None:
    result = pretrain_crm.run(din, tiny_copy.workspace, device="cpu", tensorboard=True)

    events = read(Path(result.artefact) / "tensorboard")
    [text] = events.Tensors("recipe/text_summary")
    assert "model: din" in text.tensor_proto.string_val[0].decode()


@pytest.mark.parametrize("kill_at", [3, 5, 9])
def test_a_resumed_training_has_every_step_once(
    kill_at: int, tiny_copy: TinyWorld, din: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crm_training, "_CHECKPOINT_EVERY", 2)
    with monkeypatch.context() as patch:
        _stop_at(patch, kill_at)
        with pytest.raises(KilledError):
            pretrain_crm.run(din, tiny_copy.workspace, device="cpu", tensorboard=True)
    folder = locate.crm(din, tiny_copy.workspace).path / "tensorboard"
    before = points(folder, "train/loss")
    result = pretrain_crm.run(din, tiny_copy.workspace, device="cpu", tensorboard=True)

    assert [step for step, _ in before] == list(range(1, kill_at + 1))
    for tag in ("train/loss", "train/learning_rate", "train/rows_per_second"):
        assert [step for step, _ in points(folder, tag)] == list(range(1, result.steps + 1))
    assert len(list(folder.iterdir())) == 2
    expected = [line["loss"] for line in logged(result.artefact) if "loss" in line]
    assert [loss for _, loss in points(folder, "train/loss")] == pytest.approx(expected, rel=1e-6)


def test_a_training_that_starts_anew_leaves_no_older_points(
    tiny_copy: TinyWorld, din: Recipe
) -> None:
    first = pretrain_crm.run(din, tiny_copy.workspace, device="cpu", tensorboard=True)
    pretrain_crm.run(din, tiny_copy.workspace, device="cpu", tensorboard=True, force=True)

    assert len(list((Path(first.artefact) / "tensorboard").iterdir())) == 1


def test_the_log_changes_no_weight(tiny_copy: TinyWorld, din: Recipe) -> None:
    result = pretrain_crm.run(din, tiny_copy.workspace, device="cpu", tensorboard=True)
    weights = Path(result.artefact) / "model.safetensors"
    with_log = weights.read_bytes()
    pretrain_crm.run(din, tiny_copy.workspace, device="cpu", force=True)

    assert weights.read_bytes() == with_log


def test_a_fine_tuning_is_logged_too(tiny_copy: TinyWorld, tmp_path: Path) -> None:
    from reclora_cli.recipe import from_tree
    from tests.tiny_lm import write_tiny_lm

    tree = tiny_copy.recipe.model_dump(mode="json")
    tree["lm"]["name"] = str(write_tiny_lm(tmp_path / "tiny"))
    tree["adapter"]["kind"], tree["prompt"]["behaviours"] = "lora", "recent"
    result = finetune.run(from_tree(tree), tiny_copy.workspace, device="cpu", tensorboard=True)

    folder = Path(result.artefact) / "tensorboard"
    expected = [(line["step"], line["loss"]) for line in logged(result.artefact)]
    assert points(folder, "train/loss") == [(s, pytest.approx(v, rel=1e-6)) for s, v in expected]
    assert len(points(folder, "train/learning_rate")) == result.steps


def test_figures_that_there_are_none_of_are_left_out(tmp_path: Path) -> None:
    with TensorBoardLog(tmp_path / "log", {}, rows_per_step=8) as log:
        log.keep_until(0)
        log.write(step=1, seen={"n": 0, "auc": None, "log_loss": None}, all={"n": 9, "auc": 0.5})

    assert read(tmp_path / "log").Tags()["scalars"] == ["validation/auc/all"]


def test_without_the_package_the_install_line_is_named() -> None:
    code = (
        "import sys\n"
        "sys.modules['tensorboard'] = None\n"
        "from reclora_cli.training.tensorboard import require_tensorboard\n"
        "from reclora_cli.errors import MissingInputError\n"
        "try:\n    require_tensorboard()\n"
        "except MissingInputError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "--log tensorboard" in done.stdout
    assert "pip install 'reclora[tensorboard]'" in done.stdout
    assert MissingInputError.exit_code == 3


def test_with_the_package_nothing_is_missing() -> None:
    require_tensorboard()
