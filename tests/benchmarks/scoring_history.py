"""Table 4's shape: what long text and long ID histories cost, in scoring and in training."""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import numpy as np
import torch

from reclora_cli import recipe as recipes
from reclora_cli.crm.base import build
from reclora_cli.crm.features import FeatureShape
from reclora_cli.crm.storage import CrmConfig
from reclora_cli.data.features import FeatureSpace
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.scoring.crm_scorer import CrmScorer
from reclora_cli.scoring.lm_scorer import answer
from reclora_cli.training import fit
from reclora_cli.training.lm_work import Examples, lm_work
from tests.benchmarks.scoring_world import ScoringWorld

EXPERTS = 16
TEXT, IDS = (10, 30, 60), (0, 30, 60)
CRM_ROWS = 2048


def print_history(world: ScoringWorld, options: argparse.Namespace) -> None:
    """Seconds a sample by text and ID history, and what each adds to text 10 without IDs.

    The LM and the CRM are timed apart and added: the LM reads R_c, whose width no history changes,
    so what an ID history costs is the CRM's forward (SIM's, untrained: weights do not matter).
    """
    crm = {ids: _crm_seconds(world, ids, options.rounds) for ids in IDS}
    scoring: dict[int, list[float]] = {text: [] for text in TEXT}
    training: dict[int, list[float]] = {text: [] for text in TEXT}
    rows = world.rows(options.rows)
    prompts = {text: world.prompts(world.questions(rows), text) for text in TEXT}
    labels = world.sources.store.row_label(rows)
    for round_ in range(options.rounds + 1):
        for text in TEXT:
            scored = _score(world, prompts[text], options.micro_batch)
            trained = _train(world, prompts[text], labels, options.micro_batch)
            if round_:
                scoring[text].append(scored)
                training[text].append(trained)
    print(f"\n{len(rows)} samples, K = {EXPERTS}, SIM's forward on {CRM_ROWS} rows; s / sample")
    print(f"{'text':>5}{'ID':>4}{'tokens':>8}{'scoring':>10}{'more':>9}{'training':>10}{'more':>9}")
    start = [statistics.median(of[TEXT[0]]) + crm[IDS[0]] for of in (scoring, training)]
    for text, ids in [*((TEXT[0], ids) for ids in IDS), *((text, IDS[0]) for text in TEXT[1:])]:
        found = [statistics.median(of[text]) + crm[ids] for of in (scoring, training)]
        more = [100 * (one / first - 1) for one, first in zip(found, start, strict=True)]
        print(
            f"{text:5}{ids:4}{prompts[text].lengths.mean():8.0f}{found[0]:10.4f}{more[0]:+8.2f}%"
            f"{found[1]:10.4f}{more[1]:+8.2f}%"
        )
    told = ", ".join(f"{ids}: {1e3 * seconds:.3f} ms" for ids, seconds in crm.items())
    print(f"CRM's forward a sample by ID history: {told}")


def _crm_seconds(world: ScoringWorld, history: int, rounds: int) -> float:
    store = world.sources.store
    own: Any = recipes.load("ml-1m", overrides=[f"crm.history={history}"]).crm
    space = FeatureSpace(store)
    shape = FeatureShape.of(space)
    torch.manual_seed(0)
    config = CrmConfig("retrieved", own.deciding(), shape, "not read here")
    scorer = CrmScorer(build(shape, own).eval(), config, store, space=space)
    questions = world.questions(world.rows(CRM_ROWS))
    positions = questions.recent(store, history)
    taken = []
    for _ in range(rounds + 1):
        start = world.clock()
        scorer.represent_pairs(questions.users, questions.items, positions, questions.ends)
        taken.append((world.clock() - start) / CRM_ROWS)
    return statistics.median(taken[1:])


def _score(world: ScoringWorld, prompts: EncodedPrompts, micro_batch: int) -> float:
    with world.adapted(EXPERTS) as adapter:
        start = world.clock()
        answer(
            world.model,
            adapter,
            world.speaker.answers,
            prompts,
            world.representation(len(prompts)),
            device=world.device,
            batch_tokens=int(prompts.lengths.max()) * micro_batch,
            prefix="never",
        )
        return (world.clock() - start) / len(prompts)


def _train(
    world: ScoringWorld, prompts: EncodedPrompts, labels: np.ndarray, micro_batch: int
) -> float:
    answers = world.speaker.answers
    tokens = (int(prompts.lengths.max()) + answers.longest) * micro_batch
    recipe = recipes.load(
        "ml-1m",
        overrides=[
            f"finetune.batch_size={len(prompts)}",
            f"finetune.micro_batch_tokens={tokens}",
        ],
    )
    examples = Examples(
        prompts, labels, (answers.yes_ids, answers.no_ids), world.representation(len(prompts))
    )
    with world.adapted(EXPERTS) as adapter:
        adapter.train(True)
        work = lm_work(world.model, adapter, examples, recipe.finetune, 0, world.device)
        start = world.clock()
        fit(work)
        return (world.clock() - start) / len(prompts)
