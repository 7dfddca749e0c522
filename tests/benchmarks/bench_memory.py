"""The memory plan against measured peaks: each setting tunes or scores in a process of its own.

    python -m tests.benchmarks.bench_memory

For the real SmolLM2-135M and random Llamas of other shapes, several micro-batches, K of 1 and 16,
gradient checkpointing on and off, quantised bases, and scoring: the peak that the plan predicts
from the LM's configuration alone beside the process's own high-water mark (VmHWM). Steps are real
ones of the loop, on random tokens of one length; two micro-batches a step (one, from 8 rows on), so
that gradients of the first lie there in the second. Exit code 1 when a prediction is off by more
than a fifth.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

ANSWER = 3
R_C_WIDTH = 256
TOLERANCE = 0.2

SHAPES = {  # width, feed-forward, layers, heads, key-value heads, vocabulary
    "wide": (1024, 4096, 10, 16, 16, 32000),
    "deep": (512, 1408, 24, 8, 4, 32000),
    "words": (768, 2048, 6, 12, 12, 128000),
}
"""Random Llamas: 178, 85 and 240 million parameters (the last one's are mostly its vocabulary)."""


@dataclass(frozen=True)
class Setting:
    """What one process does."""

    lm: str = "smollm2-135m"
    rows: int = 4
    tokens: int = 280
    experts: int = 16
    mixing: str = "product"
    recompute: bool = False
    quantisation: str = "none"
    precision: str = "fp32"
    what: str = "tuning"


SETTINGS = [
    Setting(rows=1),
    Setting(rows=4),
    Setting(rows=16),
    Setting(rows=4, experts=1),
    Setting(rows=4, mixing="weights"),
    Setting(rows=4, recompute=True),
    Setting(rows=16, recompute=True),
    Setting(rows=2, tokens=1000),
    Setting(rows=4, quantisation="8bit"),
    Setting(rows=4, quantisation="4bit"),
    Setting(rows=4, quantisation="8bit", recompute=True),
    Setting(rows=4, precision="bf16"),
    Setting(rows=4, what="scoring"),
    Setting(rows=16, what="scoring"),
    Setting("wide", rows=2),
    Setting("wide", rows=8),
    Setting("wide", rows=8, recompute=True),
    Setting("wide", rows=4, experts=1, quantisation="8bit"),
    Setting("deep", rows=2, tokens=600),
    Setting("deep", rows=8, recompute=True),
    Setting("words", rows=4),
    Setting("words", rows=16, what="scoring"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", type=int, nargs="*", help="numbers of settings; default: all")
    parser.add_argument("--terms", action="store_true", help="print every term")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="where random LMs are kept; default: removed")
    arguments = parser.parse_args()
    if arguments.alone:
        print(json.dumps(run(Setting(**json.loads(arguments.alone)), arguments.folder)))
        return
    with tempfile.TemporaryDirectory() as made:
        sys.exit(compare(arguments, arguments.folder or Path(made)))


def compare(arguments: argparse.Namespace, folder: Path) -> int:
    chosen = [SETTINGS[at] for at in arguments.only] if arguments.only else SETTINGS
    print(
        f"{'LM':14}{'what':9}{'rows':>5}{'tokens':>7}{'K':>4} {'mixing':8} {'again':6}"
        f"{'base':>6}{'dtype':>6}{'plan MB':>9}{'peak MB':>9}{'off':>8}"
    )
    worst = 0.0
    for setting in chosen:
        if setting.lm in SHAPES and not (folder / setting.lm).is_dir():
            subprocess.run(
                [sys.executable, "-c", _WRITE.format(folder=str(folder), lm=setting.lm)], check=True
            )
        command = [sys.executable, "-m", "tests.benchmarks.bench_memory", "--folder", str(folder)]
        alone = json.dumps(asdict(setting))
        done = subprocess.run([*command, "--alone", alone], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{setting}\n{done.stderr}")
        told = json.loads(done.stdout.splitlines()[-1])
        off = told["planned"] / told["peak"] - 1
        worst = max(worst, abs(off))
        print(
            f"{setting.lm:14}{setting.what:9}{setting.rows:5}{setting.tokens:7}{setting.experts:4} "
            f"{setting.mixing:8} {'yes' if setting.recompute else 'no':6}{setting.quantisation:>6}"
            f"{setting.precision:>6}{told['planned'] / 1e6:9.0f}{told['peak'] / 1e6:9.0f}"
            f"{off:+8.1%}",
            flush=True,
        )
        if arguments.terms:
            held = {name: round(size / 1e6) for name, size in told["terms"].items() if size}
            print("   ", held, {name: round(size / 1e6) for name, size in told["seen"].items()})
    print(f"worst: {worst:.1%}, {len(chosen)} settings, each one process")
    return int(worst > TOLERANCE)


_WRITE = """
from pathlib import Path
from tests.benchmarks.bench_memory import write_lm
write_lm(Path({folder!r}), {lm!r})
"""


def write_lm(folder: Path, name: str) -> None:
    """Save a random Llama of a shape of ``SHAPES``."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.tiny_lm import tiny_tokenizer

    width, feed_forward, layers, heads, shared_heads, vocabulary = SHAPES[name]
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=feed_forward,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=shared_heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder / name)
    tiny_tokenizer().save_pretrained(folder / name)


def run(setting: Setting, folder: Path | None) -> dict[str, object]:
    """Tune for two steps, or score; then predict, and tell both."""
    from functools import partial

    import numpy as np
    import torch

    from reclora_cli import recipe as recipes
    from reclora_cli.lm.load import load
    from reclora_cli.lm.recompute import recomputed
    from reclora_cli.prompt.encode import EncodedPrompts
    from reclora_cli.stages.make_adapter import make_adapter
    from reclora_cli.stages.plan_tuning import planner_of
    from reclora_cli.training import fit
    from reclora_cli.training.lm_work import Examples, lm_work

    device = torch.device("cpu")
    prompt = setting.tokens - ANSWER + 1
    parts = 2 if setting.rows < 8 else 1  # Micro-batches a step: one, where they take long.
    seen = {"libraries": _high_water()}
    name = setting.lm if setting.lm not in SHAPES else str(folder / setting.lm)  # type: ignore[operator]
    recipe = recipes.load(
        "ml-1m",
        overrides=[
            f"lm.name={name}",
            f"lm.quantisation={setting.quantisation}",
            f"lm.precision={setting.precision}",
            f"adapter.experts={setting.experts}",
            f"adapter.mixing={setting.mixing}",
            f"finetune.batch_size={parts * setting.rows}",
            f"finetune.micro_batch_tokens={setting.rows * setting.tokens}",
        ],
    )
    lm = load(recipe.lm, device)
    seen["loaded"] = _high_water()
    width = R_C_WIDTH if setting.experts > 1 else None
    rng = np.random.default_rng(0)
    n = 2 * setting.rows * parts
    prompts = EncodedPrompts.from_lists(rng.integers(3, 600, (n, prompt)).tolist())
    represented = rng.normal(size=(n, R_C_WIDTH)).astype(np.float32)
    answers = (range(3, 3 + ANSWER), range(9, 9 + ANSWER))
    examples = Examples(
        prompts, (np.arange(n) % 2).astype(np.uint8), answers, represented if width else None
    )
    adapter = make_adapter(recipe, lm.model, width)
    if setting.what == "tuning":
        adapter.train(True)
        work = lm_work(lm.model, adapter, examples, recipe.finetune, 0, device)
        with recomputed(lm.model, setting.recompute):
            fit(work)
    else:
        _score(lm.model, adapter, examples, setting)
    peak = _high_water()
    make = partial(make_adapter, recipe, representation_width=width)
    planner, _ = planner_of(recipe, make, device)
    plan = (
        planner.tuning(setting.rows, setting.tokens, recompute=setting.recompute)
        if setting.what == "tuning"
        else planner.scoring(setting.rows, prompt)
    )
    return {"peak": peak, "planned": plan.total, "terms": plan.terms(), "seen": seen}


def _score(model: object, adapter: object, examples: object, setting: Setting) -> None:
    import torch

    from reclora_cli.lm.answers import Answers
    from reclora_cli.scoring.lm_scorer import answer

    answers = Answers(yes_id=3, no_id=9, yes_ids=(3, 4), no_ids=(9, 4))
    adapter.train(False)  # type: ignore[attr-defined]
    answer(
        model,  # type: ignore[arg-type]
        adapter,  # type: ignore[arg-type]
        answers,
        examples.prompts,  # type: ignore[attr-defined]
        examples.representation,  # type: ignore[attr-defined]
        device=torch.device("cpu"),
        batch_tokens=setting.rows * setting.tokens,
    )


def _high_water() -> int:
    """The most this process ever held, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("this system tells no VmHWM")


if __name__ == "__main__":
    main()
