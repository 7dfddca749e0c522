"""``finetune`` of the task next on tiny sequences: every method, repeatable, and what is drawn."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reclora_cli.catalog import NEXT_TEMPLATES
from reclora_cli.errors import CheckError, MissingInputError, RecloraError, UsageError
from reclora_cli.lora.vector_tokens import FILE as PROJECTOR
from reclora_cli.recipe import Recipe
from reclora_cli.stages import locate, prepare_sequences
from reclora_cli.stages.assemble import load_speaker
from reclora_cli.stages.classroom import Classroom
from reclora_cli.stages.lm_training import LmTraining
from reclora_cli.stages.lm_tuned import Repeated
from reclora_cli.stages.next_material import Sequels
from reclora_cli.stages.next_sources import NextSources
from reclora_cli.training.lm_work import (
    IGNORED,
    Continuations,
    chosen_at,
    lm_work,
    order_of,
)
from reclora_cli.workspace import Workspace
from tests.finetuning import Killed, Listening, kill_after
from tests.peft_lora import write_peft_lora
from tests.sequences_world import write_llara
from tests.tuned_sequences import HYBRID, METHODS, Sequenced

CPU = torch.device("cpu")


@pytest.fixture
def world(sequenced: Sequenced, tmp_path: Path) -> Sequenced:
    return sequenced.copied(tmp_path / "ws")


def bits_of(artefact: str) -> dict[str, bytes]:
    """What a run keeps of its adapter, by file."""
    found = sorted((Path(artefact) / "adapter").glob("*.safetensors"))
    return {file.name: file.read_bytes() for file in found}


# -- each method --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_method_learns_and_killed_and_repeated_it_ends_in_the_same_bits(
    world: Sequenced, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = world.recipe(method)
    straight = world.tuned(recipe)
    expected = bits_of(straight.artefact)
    log = (Path(straight.artefact) / "log.jsonl").read_text()
    assert straight.steps == 8
    assert straight.first_loss is not None
    assert straight.last_loss is not None
    assert straight.last_loss < straight.first_loss - 0.1
    assert straight.method == {"ilora": "ilora-k4", "ilora-hybrid": "ilora-hybrid-k4"}.get(
        method, method
    )
    assert (straight.gate_parameters > 0) == method.startswith("ilora")
    assert (PROJECTOR in expected) == ("vectors" in straight.read) == (method in HYBRID)
    shutil.rmtree(straight.artefact)

    with monkeypatch.context() as patch:
        kill_after(patch, 5)
        with pytest.raises(Killed):
            world.tuned(recipe)
    assert list((Path(straight.artefact) / "checkpoints").glob("step-*"))
    resumed = world.tuned(recipe)
    assert bits_of(resumed.artefact) == expected
    assert (Path(straight.artefact) / "log.jsonl").read_text() == log


def test_one_expert_needs_neither_gate_nor_encoder(world: Sequenced) -> None:
    recipe = world.recipe("ilora", **{"adapter.experts": 1, "finetune.epochs": 1})
    assert not locate.needs_crm(recipe)
    result = world.tuned(recipe)
    assert result.method == "ilora-k1"
    assert result.gate_parameters == 0


def test_the_lm_is_left_as_it_was_by_a_hybrid_tuning(world: Sequenced) -> None:
    recipe = world.recipe("llara", **{"finetune.epochs": 1})
    classroom = Classroom(CPU)
    model = classroom.speaker(recipe).lm.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    inputs = locate.inputs_of("finetune", recipe, world.workspace)
    LmTraining(recipe, world.workspace, CPU, classroom=classroom).train(inputs)
    after = model.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_other_embeddings_of_items_are_not_what_a_run_was_tuned_from(world: Sequenced) -> None:
    recipe = world.recipe("llara", **{"finetune.epochs": 1})
    read = {**world.tuned(recipe).read, "vectors": "another"}
    inputs = locate.inputs_of("finetune", recipe, world.workspace)
    with pytest.raises(CheckError, match="items' embeddings"):
        LmTraining(recipe, world.workspace, CPU).train(
            inputs, anew=True, repeated=Repeated(read, {})
        )


@pytest.mark.parametrize("method", sorted(HYBRID))
def test_a_hybrid_tuning_has_a_memory_plan_and_may_start_from_a_lora(
    world: Sequenced, tmp_path: Path, method: str
) -> None:
    values = {"finetune.epochs": 1, "finetune.micro_batch_tokens": "auto"}
    speaker = load_speaker(world.recipe().lm, CPU)
    start = write_peft_lora(speaker.lm.model, tmp_path / "start")
    told = Listening()
    world.tuned(world.recipe(method, **values, **{"adapter.start": str(start)}), progress=told)
    assert any("starts from the LoRA of rank 2" in line for line in told.said)
    assert not any("plan" in line for line in told.warned), told.warned


# -- what is drawn ------------------------------------------------------------------------------


def material(world: Sequenced, method: str = "ilora", **values: Any) -> Sequels:
    return Sequels(world.recipe(method, **values), world.workspace, CPU)


def examples(world: Sequenced, made: Sequels, recipe: Recipe) -> Continuations:
    found = made.examples(Classroom(CPU), Path())
    assert isinstance(found, Continuations)
    return found


def test_each_epoch_has_wordings_and_candidates_of_its_own(sequenced: Sequenced) -> None:
    recipe = sequenced.recipe("lora")
    made = material(sequenced, "lora")
    found = examples(sequenced, made, recipe)
    rows = sequenced.store().split("train").chosen(made.rows)
    tokenizer = load_speaker(recipe.lm, CPU).lm.tokenizer
    texts = [tokenizer.decode(found.prompts[at].tolist()) for at in range(2 * len(rows))]
    named = [[int(item) for item in re.findall(r"Artist (\d+)", text)] for text in texts]
    for at, items in enumerate(named):
        row = at % len(rows)
        history = rows.history[row, : rows.length[row]].tolist()
        candidates = items[len(history) :]
        assert items[: len(history)] == history
        assert len(set(candidates)) == len(candidates) == 20
        assert rows.target[row] in candidates
        assert not (set(candidates) - {int(rows.target[row])}) & set(history)
        assert found.labels[at] == rows.target[row]
    openings = [parts[0] for parts in map(NEXT_TEMPLATES.load("artists").parts, range(4))]
    wordings = np.array([[opening in text for opening in openings].index(True) for text in texts])
    first, second = np.split(wordings, 2)
    assert len(set(first)) > 1
    assert (first != second).any()
    n = len(rows)
    assert sum(set(named[at]) != set(named[at + n]) for at in range(n)) > n / 2


def test_a_step_reads_the_prompts_of_its_epoch_with_their_titles(sequenced: Sequenced) -> None:
    recipe = sequenced.recipe("lora")
    made, speaker = material(sequenced, "lora"), load_speaker(recipe.lm, CPU)
    found = examples(sequenced, made, recipe)
    adapter = made.make_adapter(speaker.lm.model, None)
    work = lm_work(speaker.lm.model, adapter, found, recipe.finetune, recipe.seed, CPU)
    assert work.steps == 8
    for step in range(8):
        chosen = chosen_at(step, len(found), recipe.finetune, recipe.seed)
        own = {tuple(found.prompts[int(at) + len(found) * (step // 4)].tolist()) for at in chosen}
        for batch, _ in work.micro_batches(step):
            for ids, at, targets in zip(
                batch.ids_BT.tolist(), batch.at_BA.tolist(), batch.targets_BA.tolist(), strict=True
            ):
                prompt = tuple(ids[: at[0] + 1])
                own.remove(prompt)
                title = [token for token in targets if token != IGNORED]
                assert title in [list(answer) for answer in found.answers]
        assert not own
    adapter.remove()


def test_answers_are_titles_and_an_end(sequenced: Sequenced) -> None:
    recipe = sequenced.recipe("lora")
    speaker = load_speaker(recipe.lm, CPU)
    answers = NextSources(recipe, sequenced.workspace, CPU).answers(speaker)
    assert all(answer[-1] == speaker.framing.end_id for answer in answers)
    assert speaker.lm.tokenizer.decode(answers[7][:-1]) == "Artist 7"


def hybrid_by_step(world: Sequenced, **values: Any) -> list[np.ndarray]:
    """Which prompts of each step are hybrid."""
    recipe = world.recipe("llara", **{"finetune.shots": 64, **values})
    made = Sequels(recipe, world.workspace, CPU)
    found = examples(world, made, recipe)
    vocabulary = len(load_speaker(recipe.lm, CPU).lm.tokenizer)
    mixed = np.array([(found.prompts[at] >= vocabulary).any() for at in range(2 * 64)])
    steps: list[np.ndarray] = []
    for epoch in range(2):
        own = mixed[64 * epoch : 64 * (epoch + 1)][order_of(epoch, 64, recipe.seed)]
        steps += np.split(own, 16)
    return steps


def test_the_share_of_hybrid_prompts_grows_from_none_to_all(sequenced: Sequenced) -> None:
    steps = hybrid_by_step(sequenced)
    assert not steps[0].any()
    assert steps[-1].all()
    thirds = [np.mean(part) for part in (steps[:10], steps[11:21], steps[22:])]
    assert thirds == sorted(thirds)
    assert thirds[0] < 1 / 3 < 2 / 3 < thirds[2]


def test_without_a_curriculum_every_prompt_is_hybrid(sequenced: Sequenced) -> None:
    assert np.all(hybrid_by_step(sequenced, **{"next.prompt.curriculum": "none"}))


def test_fewer_shots_are_nested_in_more(sequenced: Sequenced) -> None:
    few, more = material(sequenced).rows, material(sequenced, **{"finetune.shots": 64}).rows
    assert few.tolist() == more[: len(few)].tolist()


# -- what a gate reads --------------------------------------------------------------------------


def read_by_gate(world: Sequenced, how: str, split: str = "test") -> np.ndarray:
    sources = NextSources(world.recipe("ilora", **{"gate.input": how}), world.workspace, CPU)
    ids = np.arange(6)
    found = sources.gate_input(sources.store.split(split).chosen(ids), ids, split)
    assert found is not None
    return found


def test_a_gate_reads_z_or_what_an_ablation_puts_in_its_place(sequenced: Sequenced) -> None:
    sources = NextSources(sequenced.recipe(), sequenced.workspace, CPU)
    test, train = sources.store.split("test"), sources.store.split("train")
    z = sources.encoder.encode(test.chosen(np.arange(6)))
    assert np.array_equal(read_by_gate(sequenced, "row"), z)
    assert read_by_gate(sequenced, "none").shape == (6, 0)
    shuffled = read_by_gate(sequenced, "shuffled")
    of_others = sources.encoder.encode(train)
    for row in shuffled:
        assert np.abs(of_others - row).max(axis=1).min() < 1e-5
    noise = read_by_gate(sequenced, "random")
    assert noise.shape == z.shape
    assert len(np.unique(noise[:, 0])) == 6
    assert np.array_equal(noise, read_by_gate(sequenced, "random"))
    assert not np.array_equal(noise, read_by_gate(sequenced, "random", "valid"))


@pytest.mark.parametrize(
    ("how", "method"),
    [
        ("none", "ilora-uniform-gate-k4"),
        ("random", "ilora-random-gate-k4"),
        ("shuffled", "ilora-shuffled-gate-k4"),
    ],
)
def test_an_ablated_gate_can_be_tuned(world: Sequenced, how: str, method: str) -> None:
    result = world.tuned(world.recipe("ilora", **{"gate.input": how, "finetune.shots": 4}))
    assert result.method == method
    assert (result.gate_parameters > 0) == (how != "none")


# -- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"gate.input": "user"}, "gate.input"),
        ({"finetune.loss": "answers"}, "finetune.loss"),
        ({"gate.start": "crm"}, "gate.start"),
        ({"finetune.shots": 241}, "--shots"),
    ],
)
def test_settings_of_the_other_task_are_refused_by_name(
    sequenced: Sequenced, values: dict[str, Any], where: str
) -> None:
    with pytest.raises(UsageError) as caught:
        material(sequenced, **values)
    assert caught.value.where == where


def test_without_an_encoder_the_command_that_trains_it_is_named(world: Sequenced) -> None:
    shutil.rmtree(locate.crm(world.recipe(), world.workspace).path)
    with pytest.raises(MissingInputError) as caught:
        world.tuned(world.recipe())
    assert "pretrain-crm" in str(caught.value.hint)


def named_otherwise(folder: Path, tiny_lm: Path, **names: str) -> Sequenced:
    """The tiny sequences, some artists called otherwise (``_7="..."``)."""
    given = write_llara(folder / "given")
    lines = (f"{item}::{names.get(f'_{item}', f'Artist {item}')}\n" for item in range(60))
    (given / "lastfm" / "id2name.txt").write_text("".join(lines), encoding="utf-8")
    made = Sequenced(tiny_lm, Workspace(folder / "ws"))
    prepare_sequences.run(made.recipe(), made.workspace, given=given)
    return made


def test_a_title_longer_than_half_the_context_is_refused_and_named(
    tmp_path: Path, tiny_lm: Path
) -> None:
    world = named_otherwise(tmp_path, tiny_lm, _7="Long ago and far away " * 200)
    with pytest.raises(RecloraError, match="the title of item 7 has") as caught:
        world.tuned(world.recipe("lora"))
    assert "Long ago and far away" in str(caught.value)
