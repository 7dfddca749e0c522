"""All that this machine's GPUs can show, as one table: speed, memory, and the tests marked ``gpu``.

    python tests/gpu/run.py                       # a Llama-2-7B-shaped LM where it fits
    python tests/gpu/run.py --shape smollm2-135m --steps 3 --no-tests

Each line is measured in a process of its own, so that peaks of memory are its own. Weights are
random; nothing is downloaded. Without a GPU it says so and ends well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT))

from tests.launch import SHARDED, launched  # noqa: E402

SHAPES = {
    "smollm2-135m": (30, 576, 1536, 9, 3, 49_152),
    "llama-1b": (16, 2048, 8192, 32, 8, 32_000),
    "llama-2-7b": (32, 4096, 11_008, 32, 32, 32_000),
}
"""Layers, width, feed-forward width, heads, heads of keys and values, vocabulary."""

NEEDED_GIB = {"llama-2-7b": 40}
"""Free memory that a shape is measured with by default."""

PEAKS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "A10": 125e12,
}
"""Dense bf16 FLOP/s by the makers' data sheets; the first name that a device's holds counts."""


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    name: str
    options: tuple[str, ...] = ()
    gpus: int = 1
    environment: dict[str, str] = field(default_factory=dict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--no-tests", action="store_true", help="leave the tests out")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("No CUDA device here: nothing to measure.")
        return
    shape = given.shape or default_shape()
    name, rate = torch.cuda.get_device_name(0), matmul_rate()
    peak = next((peak for part, peak in PEAKS.items() if part in name), None)
    told = f", {peak / 1e12:.0f} by its data sheet" if peak else ""
    print(f"{torch.cuda.device_count()} x {name}, {total_gib():.0f} GiB; torch {torch.__version__}")
    print(f"bf16 matmul {rate / 1e12:.0f} TFLOP/s measured{told}; LM: {shape}, random\n")
    with tempfile.TemporaryDirectory() as folder:
        write_lm(Path(folder), shape)
        table(cases(), Path(folder), given.steps, peak or rate)
    if not given.no_tests:
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests"]
        raise SystemExit(subprocess.run(command, cwd=CHECKOUT, check=False).returncode)


def cases() -> list[Case]:
    gpus = torch.cuda.device_count()
    found = [
        Case("bf16, one LoRA", ("--experts", "1")),
        Case("bf16, 16 experts"),
        Case("8-bit, 16 experts", ("--quantisation", "8bit")),
        Case("4-bit, 16 experts", ("--quantisation", "4bit")),
    ]
    if gpus > 1:
        found.append(Case(f"bf16, 16 experts, DDP on {gpus}", gpus=gpus))
        found.append(Case(f"bf16, 16 experts, FSDP on {gpus}", gpus=gpus, environment=SHARDED))
    return found


def table(todo: list[Case], folder: Path, steps: int, peak: float) -> None:
    """Measure each case and print its line; one that fails prints why, and the others go on."""
    head = ("", "train tokens/s", "MFU", "score tokens/s", "MFU", "peak GiB")
    line = "{:32} {:>15} {:>6} {:>15} {:>6} {:>9}"
    print(line.format(*head))
    trained: dict[str, float] = {}
    for case in todo:
        done = measured(case, folder, steps)
        if isinstance(done, str):
            print(f"{case.name:32} failed: {done}")
            continue
        trained[case.name] = done["train_tokens"]
        of_peak = peak * case.gpus
        figures = (
            f"{done['train_tokens']:,.0f}",
            f"{done['train_flops'] / of_peak:.1%}",
            f"{done['score_tokens']:,.0f}",
            f"{done['score_flops'] / of_peak:.1%}",
            f"{done['peak_gib']:.1f}",
        )
        print(line.format(case.name, *figures), flush=True)
    if {"bf16, one LoRA", "bf16, 16 experts"} <= set(trained):
        overhead = trained["bf16, one LoRA"] / trained["bf16, 16 experts"] - 1
        print(f"\n16 experts take {overhead:+.1%} of the time of one in training (goal: 3 %).")
    if torch.cuda.device_count() == 1:
        print("DDP and FSDP: not measured, there is one GPU.")


def measured(case: Case, folder: Path, steps: int) -> dict | str:
    """What ``speed.py`` finds in a process of its own (or one for each GPU), or why it did not."""
    program = [str(CHECKOUT / "tests/gpu/speed.py"), str(folder), "--steps", str(steps)]
    alone = [sys.executable, *program, *case.options]
    command = alone if case.gpus == 1 else launched(*program, *case.options, processes=case.gpus)
    environment = {**os.environ, **case.environment, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout.strip().splitlines()[-1])
    told = [text for text in done.stderr.splitlines() if "Error" in text]
    return told[-1].strip() if told else f"exit code {done.returncode}"


def write_lm(folder: Path, shape: str) -> None:
    """A random LM of this shape, in bf16, with the tests' tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.tiny_lm import tiny_tokenizer

    layers, width, feed_forward, heads, kv_heads, vocabulary = SHAPES[shape]
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=feed_forward,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=4096,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda"):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    del model
    torch.cuda.empty_cache()


def default_shape() -> str:
    free = torch.cuda.mem_get_info(0)[0] / 2**30
    return "llama-2-7b" if free >= NEEDED_GIB["llama-2-7b"] else "llama-1b"


def total_gib() -> float:
    return torch.cuda.get_device_properties(0).total_memory / 2**30


def matmul_rate() -> float:
    """bf16 FLOP/s of large square products."""
    size, times = 8192, 20
    a = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    a @ a
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(times):
        a @ a
    end.record()
    torch.cuda.synchronize()
    return times * 2 * size**3 / (start.elapsed_time(end) / 1e3)


if __name__ == "__main__":
    main()
