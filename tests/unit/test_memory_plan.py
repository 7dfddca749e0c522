"""The memory plan, held against what a loaded model keeps."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reclora_cli.lm.find import find
from reclora_cli.lm.skeleton import skeleton
from reclora_cli.recipe import load as load_recipe
from reclora_cli.stages.make_adapter import make_adapter
from reclora_cli.stages.plan_tuning import positions
from reclora_cli.training import trace
from reclora_cli.training.activations import saved_bytes
from reclora_cli.training.live_bytes import Kept, LiveBytes
from reclora_cli.training.memory import MemoryPlanner
from tests.tiny_lms import ARCHITECTURES
from tests.tiny_lms import tiny_lm as tiny_of

CPU = torch.device("cpu")
ROWS, TOKENS, ANSWER, WIDTH = 3, 40, 3, 6
TARGETS = {"gpt2": "[c_attn]"}


def recipe(architecture: str, *overrides: str):
    targets = TARGETS.get(architecture, "[q_proj, v_proj]")
    small = ["adapter.experts=3", "adapter.rank=2", f"adapter.targets={targets}"]
    return load_recipe("ml-1m", overrides=[*small, *overrides])


@pytest.fixture(scope="module", params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def place(architecture: str, tmp_path_factory: pytest.TempPathFactory):
    folder: Path = tmp_path_factory.mktemp(architecture)
    tiny_of(architecture).save_pretrained(folder)
    return find(str(folder))


def kept_by_the_loaded_model(architecture: str, settings, width: int | None) -> int:
    model = tiny_of(architecture)
    adapter = make_adapter(settings, model, width)
    adapter.train(True)
    ids = torch.zeros(ROWS, TOKENS, dtype=torch.int64)
    targets = torch.zeros(ROWS * ANSWER, dtype=torch.int64)
    own = [*model.parameters(), *model.buffers(), *adapter.tensors().values(), ids, targets]
    mixture = torch.full((len(adapter.projections()), ROWS, 3), 1 / 3, requires_grad=True)
    bound = adapter.meta.bound(mixture) if width else adapter.personalised(None)

    def loss() -> Tensor:
        logits = model(input_ids=ids, logits_to_keep=ANSWER, use_cache=False).logits
        return nn.functional.cross_entropy(logits.float().flatten(0, 1), targets)

    with bound:
        return saved_bytes(loss, own)


@pytest.mark.parametrize(
    ("overrides", "width"),
    [
        ((), WIDTH),
        (("adapter.mixing=weights",), WIDTH),
        (("adapter.experts=1",), None),
        (("adapter.kind=lora",), None),
    ],
    ids=["product", "weights", "one expert", "PEFT"],
)
def test_what_a_skeleton_keeps_is_what_the_loaded_model_keeps(
    architecture: str, place, overrides: tuple[str, ...], width: int | None
) -> None:
    settings = recipe(architecture, *overrides)
    bare = skeleton(place, torch.float32)
    adapter = make_adapter(settings, bare, width)
    adapter.train(True)
    told = sum(trace.kept_by_part(bare, adapter, ROWS, TOKENS, ANSWER).values())
    assert told == pytest.approx(kept_by_the_loaded_model(architecture, settings, width), rel=0.02)


def planner(place, architecture: str, *overrides: str) -> MemoryPlanner:
    settings = recipe(architecture, *overrides)
    width = WIDTH if settings.adapter.experts > 1 else None
    make = partial(make_adapter, settings, representation_width=width)
    return MemoryPlanner(place, settings.lm, make, CPU)


def test_the_plan_grows_with_rows_by_the_trace_of_so_many_rows(architecture: str, place) -> None:
    planned = planner(place, architecture)
    memory = planned.tuning(5, TOKENS)
    passed = trace.training_pass(planned.model, planned.adapter, 5, TOKENS, 3, recompute=False)
    kept = memory.blocks + memory.attention + memory.experts + memory.answers
    assert kept == pytest.approx(passed.kept, rel=0.01)
    assert kept + memory.working == pytest.approx(passed.peak, rel=0.01)
    assert min(memory.blocks, memory.attention, memory.experts, memory.answers) > 0
    assert memory.total == sum(memory.terms().values())


def test_computing_activations_again_takes_less_and_scoring_least(place, architecture) -> None:
    planned = planner(place, architecture)

    def of_the_pass(memory) -> int:
        return memory.total - memory.runtime - memory.weights - memory.trained

    whole = of_the_pass(planned.tuning(8, TOKENS))
    again = of_the_pass(planned.tuning(8, TOKENS, recompute=True))
    assert of_the_pass(planned.scoring(8, TOKENS)) < again < 0.8 * whole


def test_experts_and_their_optimizer_are_sixteen_bytes_a_parameter(place, architecture) -> None:
    for experts in (1, 3):
        planned = planner(place, architecture, f"adapter.experts={experts}")
        memory = planned.tuning(1, TOKENS)
        assert memory.trained == 16 * planned.adapter.parameter_count()


def test_a_base_of_8_and_4_bits_takes_a_quarter_and_an_eighth_of_its_linear_layers(
    place, architecture
) -> None:
    full, eight, four = (
        planner(place, architecture, f"lm.quantisation={kind}").tuning(1, TOKENS)
        for kind in ("none", "8bit", "4bit")
    )
    linears = 4 * planner(place, architecture).description.quantisable
    assert full.weights - eight.weights == pytest.approx(3 / 4 * linears)
    assert full.weights - four.weights == pytest.approx(7 / 8 * linears, rel=0.03)
    assert (full.unpacked, eight.unpacked > 0) == (0, True)


def test_live_bytes_count_a_storage_once_and_until_it_is_freed() -> None:
    with LiveBytes() as live:
        first = torch.empty(10, device="meta")
        view = first[2:4]
        second = torch.empty(5, device="meta")
        assert live.live == 60
        del first
        assert live.live == 60  # The view holds it.
        del view, second
    assert (live.live, live.peak) == (0, 60)


def test_what_is_known_is_not_counted() -> None:
    weight = torch.empty(7, device="meta", requires_grad=True)
    with LiveBytes([weight]) as live:
        assert weight.view(1, 7).shape == (1, 7)
    assert live.peak == 0


def test_what_is_kept_is_told_by_the_innermost_part() -> None:
    inner, outer = nn.Linear(3, 3, device="meta"), nn.Sequential()
    outer.append(inner)
    outer.append(nn.Sigmoid())
    kept = Kept([*outer.parameters()])
    with kept.watching({outer: "outer", inner: "inner"}):
        outer(torch.empty(2, 3, device="meta"))
    assert kept.by_part == {"inner": 24, "outer": 24}  # The input; the sigmoid's output.


def test_a_last_step_of_fewer_rows_than_a_micro_batch_is_planned_too() -> None:
    alike = np.full(11, 20)  # Steps of 8 and of 3 rows.
    assert positions(alike, batch_size=8, rows=5, answer_tokens=3) == 3
    one_longer = np.array([20] * 10 + [25])
    assert positions(one_longer, batch_size=11, rows=11, answer_tokens=3) == 3 + 5
    assert positions(one_longer, batch_size=11, rows=40, answer_tokens=3) == 3 + 5
