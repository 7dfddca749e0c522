"""The same prompts scored by us and by the usual stack; shares of the machine's matmul rate."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from reclora_cli.scoring.lm_scorer import answer
from tests.benchmarks.scoring_world import ScoringWorld

EXPERTS, RANK = 16, 8
PEERS = ("trainer", "loop")
OURS = {"k1": (1, "product"), "product": (EXPERTS, "product"), "weights": (EXPERTS, "weights")}


class Sides:
    """The same prompts scored in several ways."""

    def __init__(self, world: ScoringWorld, rows: int, micro_batch: int) -> None:
        self.world = world
        chosen = world.rows(rows)
        self.labels = world.sources.store.row_label(chosen)
        self.prompts = world.prompts(world.questions(chosen))
        self.micro_batch = micro_batch
        self.order = np.argsort(-self.prompts.lengths, kind="stable")

    def seconds(self, side: str) -> float:
        """Of one scoring of all prompts."""
        if side in OURS:
            return self._ours(*OURS[side])
        return self._peer(side)

    def _ours(self, experts: int, mixing: str) -> float:
        world, prompts = self.world, self.prompts
        represented = world.representation(len(prompts)) if experts > 1 else None
        with world.adapted(experts, mixing) as adapter:
            start = world.clock()
            answer(
                world.model,
                adapter,
                world.speaker.answers,
                prompts,
                represented,
                device=world.device,
                batch_tokens=int(prompts.lengths.max()) * self.micro_batch,
                prefix="never",
            )
            return world.clock() - start

    def _peer(self, side: str) -> float:
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=RANK, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"
        )
        model = get_peft_model(self.world.model, config).eval()
        run = self._trainer(model) if side == "trainer" else self._loop(model)
        start = self.world.clock()
        run()
        taken = self.world.clock() - start
        model.unload()
        return taken

    def _trainer(self, model: Any) -> Callable[[], object]:
        from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

        answers = self.world.speaker.answers

        def two_answers(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            before = (labels != -100).int().argmax(dim=1) - 1
            last = logits[torch.arange(len(logits)), before]
            return torch.softmax(last[:, [answers.yes_id, answers.no_id]], dim=-1)

        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=str(self.world.folder / "trainer"),
                per_device_eval_batch_size=self.micro_batch,
                use_cpu=True,
                report_to=[],
                disable_tqdm=True,
                dataloader_pin_memory=False,
            ),
            data_collator=DataCollatorForSeq2Seq(self.world.speaker.lm.tokenizer, padding=True),
            preprocess_logits_for_metrics=two_answers,
        )
        rows = self._answered_rows()
        return lambda: trainer.predict(rows)

    def _answered_rows(self) -> list[dict[str, list[int]]]:
        answers = self.world.speaker.answers
        rows = []
        for at in self.order:
            prompt = self.prompts[int(at)].tolist()
            own = list(answers.yes_ids if self.labels[at] else answers.no_ids)
            rows.append(
                {
                    "input_ids": prompt + own,
                    "attention_mask": [1] * (len(prompt) + len(own)),
                    "labels": [-100] * len(prompt) + own,
                }
            )
        return rows

    def _loop(self, model: Any) -> Callable[[], object]:
        answers, lengths = self.world.speaker.answers, self.prompts.lengths

        @torch.inference_mode()
        def run() -> None:
            for start in range(0, len(self.order), self.micro_batch):
                chosen = self.order[start : start + self.micro_batch]
                ids = torch.from_numpy(self.prompts.padded(chosen))
                last = torch.from_numpy(lengths[chosen] - 1)
                mask = (torch.arange(ids.shape[1]) <= last[:, None]).long()
                logits = model(input_ids=ids, attention_mask=mask).logits
                two = logits[torch.arange(len(chosen)), last][:, [answers.yes_id, answers.no_id]]
                torch.softmax(two, dim=-1)

        return run

    def flops(self, side: str) -> float:
        """What the answers need: linear layers, experts, attention to the tokens before."""
        config: Any = self.world.model.config
        tokens = self.prompts.lengths.astype(np.float64)
        linears = [
            (name, layer)
            for name, layer in self.world.model.named_modules()
            if isinstance(layer, nn.Linear) and name != "lm_head"
        ]
        weights = sum(layer.weight.numel() for _, layer in linears)
        last = f"layers.{config.num_hidden_layers - 1}.mlp."
        read_once = sum(layer.weight.numel() for name, layer in linears if last in name)
        unread = read_once * (tokens - 1).sum()  # The last feed-forward part serves the answer.
        width = config.num_attention_heads * config.head_dim
        # Queries meet keys, and weights meet values: two products for each pair of tokens.
        attended = 2 * width * config.num_hidden_layers * (tokens * (tokens + 1) / 2).sum()
        blocks = OURS.get(side, (1, ""))[0] if side != "weights" else 1
        adapted = sum(
            RANK * blocks * (layer.in_features + layer.out_features)
            for name, layer in linears
            if name.endswith(("q_proj", "v_proj"))
        )
        return float(2 * ((weights + adapted) * tokens.sum() - unread + attended))


def print_sides(world: ScoringWorld, options: argparse.Namespace) -> None:
    """The table of sides."""
    sides = Sides(world, options.rows, options.micro_batch)
    names = [*PEERS, *OURS]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    rates: list[float] = []
    for round_ in range(options.rounds + 1):
        taken = {name: sides.seconds(name) for name in names}
        if round_:
            rates.append(world.matmul_rate())
            for name in names:
                seconds[name].append(taken[name])
    tokens = sides.prompts.lengths
    print(
        f"\n{len(tokens)} prompts of {tokens.mean():.0f} tokens (max {tokens.max()}), micro-batch "
        f"{options.micro_batch}, {options.rounds} rounds; matmul "
        f"{statistics.median(rates) / 1e9:.0f} GFLOP/s ({min(rates) / 1e9:.0f}-"
        f"{max(rates) / 1e9:.0f})"
    )
    print(f"{'side':10}{'s / prompt':>11}{'/ trainer':>18}{'/ loop':>18}{'/ k1':>18}{'rate':>7}")
    for name in names:
        line = f"{name:10}{statistics.median(seconds[name]) / len(tokens):11.3f}"
        for other in (*PEERS, "k1"):
            line += f"{_ratio(seconds[name], seconds[other]):>18}"
        shares = [
            sides.flops(name) / taken / rate
            for taken, rate in zip(seconds[name], rates, strict=True)
        ]
        print(f"{line}{statistics.median(shares):7.0%}")


def _ratio(ours: list[float], theirs: list[float]) -> str:
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"{statistics.median(ratios):.3f} ({min(ratios):.2f}-{max(ratios):.2f})"
