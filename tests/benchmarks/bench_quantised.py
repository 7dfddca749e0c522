"""What a quantised base costs in accuracy, and that it can be tuned, on this machine's device.

    python tests/benchmarks/bench_quantised.py --data ../shared/data/ml-1m

For the default LM in full precision, 8-bit and 4-bit: P(yes) of the same real ML-1M test prompts,
its drift from full precision (size, mean with sign, correlation of ranks), the AUC of the untuned
model, and ten steps of RecLoRA's adapter on one fixed batch, whose loss must be finite and fall.
R_c is random here: no CRM is needed to see whether gradients pass. Seconds are of CPU time.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from reclora_cli import device as devices
from reclora_cli import recipe as recipes
from reclora_cli.data.histories import recent
from reclora_cli.data.store import InteractionsStore
from reclora_cli.lm.answers import Answers
from reclora_cli.lm.forward import answer_logits
from reclora_cli.lm.framing import Framing
from reclora_cli.lm.load import LoadedLm, load
from reclora_cli.lora import GateSettings, attach
from reclora_cli.metrics.auc import auc, midranks
from reclora_cli.prompt.buckets import micro_batches
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.prompt.movies import MOVIES_WITH_PROFILE
from reclora_cli.prompt.write import PromptWriter
from reclora_cli.seeding import numpy_stream, torch_stream
from reclora_cli.stages import prepare
from reclora_cli.workspace import Workspace

HEADER = "base   weights  s/prompt  mean |dP|  max |dP|  mean dP  ranks    AUC  loss, first to last"
KINDS = ("none", "8bit", "4bit")
GUIDE_WIDTH, EXPERTS, LEARNING_RATE = 64, 16, 1e-3


@dataclass(frozen=True)
class Figures:
    """What one kind of base shows."""

    kind: str
    probability: np.ndarray
    seconds_a_prompt: float
    megabytes: float
    losses: list[float]


def main() -> None:
    """Print the table."""
    options = _options()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    with tempfile.TemporaryDirectory() as folder:
        store = _prepared(options.data, Path(folder))
        rows = numpy_stream(0, "quantised").choice(store.split("test"), options.rows, replace=False)
        rows.sort()
        labels = store.row_label(rows)
        print(f"{len(rows)} test prompts of ML-1M; drift of P(yes) from full precision")
        print(HEADER)
        full = None
        for kind in KINDS:
            figures = _measure(kind, store, rows, options)
            full = figures.probability if full is None else full
            print(_line(figures, full, labels), flush=True)


def _measure(
    kind: str, store: InteractionsStore, rows: np.ndarray, options: argparse.Namespace
) -> Figures:
    recipe = recipes.load("ml-1m", values={"lm.quantisation": kind}).lm
    lm = load(recipe, devices.pick(options.device))
    framing = Framing.of(lm.tokenizer)
    answers = Answers.of(lm.tokenizer, framing)
    prompts = EncodedPrompts.of(
        PromptWriter(store, MOVIES_WITH_PROFILE),
        framing,
        store.row_user(rows),
        store.row_item(rows),
        recent(store, rows, 10),
        limit=lm.context,
    )
    start = time.process_time()
    probability = _probability(lm, answers, prompts)
    seconds = (time.process_time() - start) / len(rows)
    losses = _tune(lm, answers, prompts, store.row_label(rows), options)
    return Figures(kind, probability, seconds, lm.model.get_memory_footprint() / 1e6, losses)


@torch.inference_mode()
def _probability(lm: LoadedLm, answers: Answers, prompts: EncodedPrompts) -> np.ndarray:
    found = np.empty(len(prompts))
    for chosen in micro_batches(prompts.lengths, 1280):
        ids = torch.from_numpy(prompts.padded(chosen)).to(lm.device)
        at = torch.from_numpy(prompts.lengths[chosen, None] - 1).to(lm.device)
        two = answer_logits(lm.model, ids, at)[:, 0, [answers.yes_id, answers.no_id]]
        found[chosen] = torch.softmax(two.double(), -1)[:, 0].cpu().numpy()
    return found


def _tune(
    lm: LoadedLm,
    answers: Answers,
    prompts: EncodedPrompts,
    labels: np.ndarray,
    options: argparse.Namespace,
) -> list[float]:
    """Loss of each step on the first prompts, on the answers' first token."""
    chosen = np.arange(options.batch)
    ids = torch.from_numpy(prompts.padded(chosen)).to(lm.device)
    at = torch.from_numpy(prompts.lengths[chosen, None] - 1).to(lm.device)
    wanted = np.where(labels[chosen] == 1, answers.yes_id, answers.no_id)
    targets = torch.from_numpy(wanted).to(lm.device)
    guide = torch.randn(options.batch, GUIDE_WIDTH, generator=torch_stream(0, "guide"))
    meta = attach(lm.model, experts=EXPERTS, gate=GateSettings(GUIDE_WIDTH))
    optimizer = torch.optim.AdamW(meta.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    losses = []
    for _ in range(options.steps):
        with meta.bound(meta.gate_weights(guide.to(lm.device))):
            logits = answer_logits(lm.model, ids, at)[:, 0]
            loss = torch.nn.functional.cross_entropy(logits.float(), targets)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    meta.detach()
    return losses


def _prepared(data: Path, folder: Path) -> InteractionsStore:
    workspace = Workspace(folder)
    prepare.run(recipes.load("ml-1m"), workspace, given=data)
    return InteractionsStore(workspace.store("ml-1m").path)


def _line(figures: Figures, full: np.ndarray, labels: np.ndarray) -> str:
    drift = figures.probability - full
    ranks = np.corrcoef(midranks(figures.probability), midranks(full))[0, 1]
    first, last = figures.losses[0], figures.losses[-1]
    sound = all(map(math.isfinite, figures.losses)) and last < first
    return (
        f"{figures.kind:5}  {figures.megabytes:4.0f} MB  {figures.seconds_a_prompt:8.2f}"
        f"  {np.abs(drift).mean():9.4f}  {np.abs(drift).max():8.4f}  {drift.mean():+7.4f}"
        f"  {ranks:5.3f}  {auc(labels, figures.probability):5.3f}"
        f"  {first:.3f} -> {last:.3f}  {'finite, falling' if sound else 'NOT SOUND'}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of ML-1M's original files")
    parser.add_argument("--rows", type=int, default=50, help="test prompts scored")
    parser.add_argument("--steps", type=int, default=10, help="training steps")
    parser.add_argument("--batch", type=int, default=2, help="prompts of the training batch")
    parser.add_argument(
        "--threads", type=int, default=0, help="CPU threads; 0 leaves torch's choice"
    )
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
