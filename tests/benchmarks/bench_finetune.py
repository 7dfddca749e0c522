"""Fine-tuning against the usual stack: Transformers' Trainer with PEFT LoRA, side by side.

Same LM, same real ML-1M prompts and answers, same micro-batch, same device; the Trainer groups by
length and its labels are the answer's tokens. Rounds alternate; the table shows medians and the
ratio round by round. With ``--memory`` each side runs alone in a process and tells its peak.

    python tests/benchmarks/bench_finetune.py --data ../shared/data/ml-1m
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from reclora_cli import device as devices
from reclora_cli import recipe as recipes
from reclora_cli.data.shots import sample_shots
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import prepare
from reclora_cli.stages.assemble import Sources, load_speaker
from reclora_cli.stages.make_adapter import make_adapter
from reclora_cli.training import fit
from reclora_cli.training.lm_work import Examples, lm_work
from reclora_cli.workspace import Workspace

R_C_WIDTH = 256
SIDES = ("trainer", "k1", "product", "weights")


class Bench:
    """Real prompts of ML-1M, and the ways to train on them."""

    def __init__(self, data: Path, rows: int, micro_batch: int, batch: int, folder: Path) -> None:
        self.recipe = recipes.load(
            "ml-1m",
            overrides=[f"finetune.batch_size={batch}", "prompt.behaviours=recent"],
        )
        self.workspace = Workspace(folder)
        prepare.run(self.recipe, self.workspace, given=data)
        self.device = devices.pick("cpu")
        self.sources = Sources(self.recipe, self.workspace, self.device)
        self.speaker = load_speaker(self.recipe.lm, self.device)
        self.rows = sample_shots(self.sources.store, rows, seed=0)
        questions = Questions.of_rows(self.sources.store, self.rows)
        positions = self.sources.prompt_behaviours(questions, "recent")
        self.prompts = self.speaker.encode(
            self.sources.writer, questions.users, questions.items, positions
        )
        self.labels = self.sources.store.row_label(self.rows)
        self.micro_batch, self.batch, self.folder = micro_batch, batch, folder

    def trainer(self) -> float:
        """Seconds of Trainer + PEFT LoRA over all rows."""
        from peft import LoraConfig, get_peft_model
        from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

        settings = self.recipe.adapter
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=int(settings.alpha),
            target_modules=list(settings.targets),
            task_type="CAUSAL_LM",
        )
        model = get_peft_model(self.speaker.lm.model, config)
        tokenizer = self.speaker.lm.tokenizer
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=str(self.folder / "trainer"),
                per_device_train_batch_size=self.micro_batch,
                gradient_accumulation_steps=self.batch // self.micro_batch,
                num_train_epochs=1,
                learning_rate=1e-3,
                train_sampling_strategy="group_by_length",
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                dataloader_pin_memory=False,
            ),
            train_dataset=self._trainer_rows(),
            data_collator=DataCollatorForSeq2Seq(tokenizer, padding=True),
        )
        start = time.perf_counter()
        trainer.train()
        taken = time.perf_counter() - start
        model.unload()
        return taken

    def _trainer_rows(self) -> list[dict[str, list[int]]]:
        rows = []
        for at, label in enumerate(self.labels):
            prompt = self.prompts[at].tolist()
            answer = list(self.speaker.answers.yes_ids if label else self.speaker.answers.no_ids)
            ids = prompt + answer
            rows.append(
                {
                    "input_ids": ids,
                    "attention_mask": [1] * len(ids),
                    "labels": [-100] * len(prompt) + answer,
                }
            )
        return rows

    def ours(self, experts: int, mixing: str) -> float:
        """Seconds of our loop over all rows, the gate included."""
        longest = int(self.prompts.lengths.max()) + 3
        recipe = recipes.load(
            "ml-1m",
            overrides=[
                f"adapter.experts={experts}",
                f"adapter.mixing={mixing}",
                f"finetune.batch_size={self.batch}",
                f"finetune.micro_batch_tokens={longest * self.micro_batch}",
            ],
        )
        generator = np.random.default_rng(0)
        represented = generator.normal(size=(len(self.rows), R_C_WIDTH)).astype(np.float32)
        gated = experts > 1
        examples = Examples(
            self.prompts,
            self.labels,
            (self.speaker.answers.yes_ids, self.speaker.answers.no_ids),
            represented if gated else None,
        )
        model = self.speaker.lm.model
        adapter = make_adapter(recipe, model, R_C_WIDTH if gated else None)
        adapter.train(True)
        work = lm_work(model, adapter, examples, recipe.finetune, 0, self.device)
        start = time.perf_counter()
        fit(work)
        taken = time.perf_counter() - start
        adapter.remove()
        return taken

    def sides(self) -> dict[str, Callable[[], float]]:
        return {
            "trainer": self.trainer,
            "k1": lambda: self.ours(1, "product"),
            "product": lambda: self.ours(16, "product"),
            "weights": lambda: self.ours(16, "weights"),
        }


def peak_of(side: str, arguments: argparse.Namespace) -> float:
    """Peak resident memory, in GB, of one side alone in a new process."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_alone, args=(side, arguments, send))
    process.start()
    peak = receive.recv()
    process.join()
    return peak


def _alone(side: str, arguments: argparse.Namespace, send: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = make(arguments, Path(folder))
        bench.sides()[side]()
    send.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)  # type: ignore[attr-defined]


def make(arguments: argparse.Namespace, folder: Path) -> Bench:
    return Bench(arguments.data, arguments.rows, arguments.micro_batch, arguments.batch, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/ml-1m"))
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--micro-batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = make(arguments, Path(folder))
        lengths = bench.prompts.lengths
        print(
            f"{arguments.rows} prompts of {lengths.mean():.0f} tokens (max {lengths.max()}), ",
            end="",
        )
        print(f"micro-batch {arguments.micro_batch}, {torch.get_num_threads()} threads")
        seconds: dict[str, list[float]] = {side: [] for side in SIDES}
        for round_ in range(arguments.rounds + 1):
            for side, measure in bench.sides().items():
                taken = measure()
                if round_:
                    seconds[side].append(taken)
    print(f"{'side':10}{'s / prompt':>12}{'/ trainer':>18}{'/ k1':>18}")
    for side in SIDES:
        median = statistics.median(seconds[side]) / arguments.rows
        print(f"{side:10}{median:12.3f}", end="")
        for other in ("trainer", "k1"):
            ratios = [a / b for a, b in zip(seconds[side], seconds[other], strict=True)]
            spread = f"{statistics.median(ratios):.3f} ({min(ratios):.2f}-{max(ratios):.2f})"
            print(f"{spread:>18}", end="")
        print()
    if arguments.memory:
        for side in ("trainer", "product"):
            print(f"peak memory, {side} alone: {peak_of(side, arguments):.2f} GB")


if __name__ == "__main__":
    main()
