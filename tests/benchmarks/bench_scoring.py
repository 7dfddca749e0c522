"""What scoring takes: against the usual stack, against the machine, after shared prefixes.

    python -m tests.benchmarks.bench_scoring --data ../shared/data/ml-1m
    python -m tests.benchmarks.bench_scoring --parts prefix --candidates 100 --rounds 1

Parts, each on real ML-1M prompts with SmolLM2-135M:

* ``sides``: ours (K = 1, K = 16 product and weights) beside the usual stack, same prompts, same
  micro-batch, longest first: Trainer.predict with a PEFT LoRA, its logits preprocessed to the two
  answers; and the same model in a bare loop, without the Trainer's loss. Rounds alternate; ratios
  are taken within a round. Shares of the machine's matmul rate (1024 x 1024 products, measured in
  the same round) count what answers need of real tokens: the linear layers, with the
  experts, and attention to the tokens before; no padding, no projection to the vocabulary.
* ``prefix``: candidates of one user, one prompt each against a shared prefix.
* ``history``: Table 4's shape, K = 16 throughout: text and ID histories of several lengths, the
  CRM's forward included, in scoring and in training (one epoch: R_c is made once a sample).

On a busy machine, ``OMP_NUM_THREADS=1 ... --clock cpu`` leaves out the waiting for a core.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from tests.benchmarks.scoring_history import print_history
from tests.benchmarks.scoring_prefix import print_prefix
from tests.benchmarks.scoring_sides import print_sides
from tests.benchmarks.scoring_world import ScoringWorld

PARTS = {"sides": print_sides, "prefix": print_prefix, "history": print_history}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/ml-1m"))
    parser.add_argument("--llm", default="smollm2-135m")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=32, help="prompts of a side, and of a history")
    parser.add_argument("--micro-batch", type=int, default=4)
    parser.add_argument("--user", default="42")
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--alone", type=int, default=0, help="asked one by one; 0 means all")
    parser.add_argument("--batch-tokens", type=int, default=4096, help="of the candidates")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = ScoringWorld(options.data, Path(folder), options.llm, options.clock)
        print(
            f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.clock} clock"
        )
        printers = {"sides": print_sides, "prefix": print_prefix, "history": print_history}
        for part in options.parts:
            printers[part](world, options)


if __name__ == "__main__":
    main()
