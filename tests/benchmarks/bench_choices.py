"""20 candidates of a row by likelihood: after one computed prompt, against 20 separate prompts.

    python -m tests.benchmarks.bench_choices --data ../shared/data/llara/lastfm
    OMP_NUM_THREADS=1 python -m tests.benchmarks.bench_choices --clock cpu --rows 1

Real artists and test sequences of LLaRA's LastFM, 19 other artists drawn beside the truth,
SmolLM2-135M in fp32. Rounds alternate the sides; medians over rounds. ``one each`` asks every
candidate by itself, ``batched`` as many at once as ``--batch-tokens`` holds, ``shared`` computes
the prompt once; ``+ said`` adds the greedy answer. Differences are of the sum over an answer's
tokens, absolute, for each token, and relative to the sum: from ``shared``, and from the same in
float64, which tells how much of them is either side's own rounding.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from reclora_cli import device as devices
from reclora_cli import recipe as recipes
from reclora_cli.lora.adapters import Adapter, MetaAdapter, NoAdapter
from reclora_cli.lora.attach import attach
from reclora_cli.lora.gate import GateSettings
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.scoring.choice_scorer import Chosen, choose
from reclora_cli.stages.assemble import Speaker, load_speaker
from tests.benchmarks.scoring_world import CLOCKS

CANDIDATES, Z_WIDTH, LONGEST = 20, 64, 24
SIDES = {
    "one each": {"prefix": "never", "batch_tokens": 1, "generate": False},
    "batched": {"prefix": "never", "generate": False},
    "shared": {"prefix": "always", "generate": False},
    "+ said": {"prefix": "always", "generate": True},
}
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class Artists:
    """Prompts of LLaRA's LastFM test rows, and the answers of their candidates as tokens."""

    def __init__(self, data: Path, speaker: Speaker, rows: int) -> None:
        lines = (data / "id2name.txt").read_text(encoding="utf-8").splitlines()
        names = {int(item): name for item, name in (line.split("::", 1) for line in lines)}
        stream = np.random.default_rng(0)
        prompts: list[list[int]] = []
        self.answers: list[list[list[int]]] = []
        self.texts: list[str] = []
        for row in pd.read_parquet(data / "test.parquet").head(rows).itertuples():
            history = [int(item) for item in row.seq[: row.len_seq]]
            others = sorted(names.keys() - {*history, int(row.next)})
            items = [int(row.next), *stream.choice(others, CANDIDATES - 1, replace=False).tolist()]
            titles = [names[item] for item in stream.permutation(items).tolist()]
            text = _prompt([names[item] for item in history], titles)
            [ids] = speaker.framing.encode([text])
            self.texts.append(text)
            prompts.append(ids)
            self.answers.append([_answer(speaker, text, ids, title) for title in titles])
        self.encoded = EncodedPrompts.from_lists(prompts)

    @property
    def tokens(self) -> np.ndarray:
        """(n, C) tokens of each answer."""
        return np.array([[len(answer) for answer in own] for own in self.answers])


def _prompt(history: list[str], titles: list[str]) -> str:
    return (
        f"This user has listened to {', '.join(history)} in the previous. Please predict the next "
        "artist this user will listen to. The artist must be one of the following candidates: "
        f"{', '.join(titles)}. Answer with the name of the artist only."
    )


def _answer(speaker: Speaker, text: str, prompt: list[int], title: str) -> list[int]:
    whole = speaker.framing.encode_with(text, title)
    assert whole[: len(prompt)] == prompt
    end = [] if speaker.framing.end_id is None else [speaker.framing.end_id]
    return [*whole[len(prompt) :], *end]


@contextmanager
def adapted(kind: str, model: torch.nn.Module) -> Iterator[Adapter]:
    """No adapter, or untrained experts that were moved so that they do something."""
    if kind == "none":
        yield NoAdapter(model)
        return
    gate = GateSettings(Z_WIDTH, scope="shared")
    made = MetaAdapter(attach(model, experts=4, rank=2, alpha=32.0, targets=TARGETS, gate=gate))
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in made.tensors().values():
            tensor.add_(0.005 * torch.randn(tensor.shape, generator=stream))
    made.train(False)
    try:
        yield made
    finally:
        made.remove()


def measure(
    speaker: Speaker, artists: Artists, adapter: Adapter, options: argparse.Namespace
) -> tuple[dict[str, float], dict[str, Chosen]]:
    """Median seconds a row of each side, and what each side found."""
    z = np.random.default_rng(0).normal(size=(len(artists.encoded), Z_WIDTH)).astype(np.float32)
    clock, found = CLOCKS[options.clock], {}
    taken: dict[str, list[float]] = {side: [] for side in options.sides}

    def ask(side: str) -> Chosen:
        settings = {"batch_tokens": options.batch_tokens} | SIDES[side]
        return choose(
            speaker.lm.model,
            adapter,
            artists.encoded,
            artists.answers,
            z,
            device=torch.device("cpu"),
            end_id=speaker.framing.end_id,
            longest=LONGEST,
            **settings,
        )

    for _ in range(options.rounds):
        for side in options.sides:
            start = clock()
            found[side] = ask(side)
            taken[side].append((clock() - start) / len(artists.encoded))
    speaker.lm.model.double()
    found["float64"] = ask("shared")
    speaker.lm.model.float()
    return {side: float(np.median(seconds)) for side, seconds in taken.items()}, found


def print_differences(found: dict[str, Chosen], tokens: np.ndarray) -> None:
    """The largest ones between sides that were asked."""
    for one, other in (("one each", "shared"), ("one each", "float64"), ("shared", "float64")):
        if one in found and other in found:
            values = found[other].log_likelihood
            moved = np.abs(found[one].log_likelihood - values)
            of_token, relative = (moved / tokens).max(), (moved / np.abs(values)).max()
            print(
                f"  {one} from {other}: sum {moved.max():.1e}, a token {of_token:.1e}, "
                f"relative {relative:.1e}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/llara/lastfm"))
    parser.add_argument("--llm", default="smollm2-135m")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--adapters", nargs="+", default=["none", "meta"])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=[*SIDES])
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    recipe = recipes.load("ml-1m", overrides=[f"lm.name={options.llm}"])
    speaker = load_speaker(recipe.lm, devices.pick("cpu"))
    artists = Artists(options.data, speaker, options.rows)
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.clock} clock, "
        f"{options.rounds} rounds\n{len(artists.encoded)} rows, prompts of "
        f"{artists.encoded.lengths.mean():.0f} tokens, answers of {artists.tokens.mean():.1f}\n"
    )
    print(f"{'seconds a row':14}" + "".join(f"{side:>10}" for side in options.sides))
    for kind in options.adapters:
        with adapted(kind, speaker.lm.model) as adapter:
            seconds, found = measure(speaker, artists, adapter, options)
        print(f"{kind:14}" + "".join(f"{seconds[side]:10.2f}" for side in options.sides))
        for side in options.sides:
            fewer = found[side].computed_tokens / found["shared"].computed_tokens
            times = seconds[side] / seconds["shared"]
            print(
                f"  {side}: {times:.2f} times the seconds, {fewer:.2f} times the tokens of shared"
            )
        print_differences(found, artists.tokens)


if __name__ == "__main__":
    main()
