"""The training loop: exact after an interruption, honest about divergence and damage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reclora_cli.errors import RecloraError
from reclora_cli.progress import SILENT, SilentProgress
from reclora_cli.training import Checkpoints, Linear, Log, ParameterGroup, Work, fit
from reclora_cli.training.schedule import SCHEDULES

STEPS = 30


class Killed(Exception):
    pass


def make_work(scale: float = 1.0) -> tuple[torch.nn.Module, Work[torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(64, 4, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)
        )

    def micro_batches(step: int) -> Iterator[tuple[torch.Tensor, float]]:
        chosen = rows[step * 8 % 64 : step * 8 % 64 + 8]
        yield chosen[:6], 0.75
        yield chosen[6:], 0.25

    work = Work(
        groups=[ParameterGroup(list(model.parameters()), 1e-2)],
        tensors=dict(model.state_dict()),
        steps=STEPS,
        micro_batches=micro_batches,
        loss=lambda batch: scale * (model(batch) - 1).square().mean(),
        rows_per_step=8,
        seed=0,
        clip_norm=1.0,
    )
    return model, work


def kill_at(step: int):
    def after_step(at: int, memory: dict) -> bool:
        if at == step:
            raise Killed
        return False

    return after_step


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in model.state_dict().values()])


@pytest.mark.parametrize("killed_at", [1, 5, 17, 29])
def test_a_killed_training_repeated_gives_the_same_weights_bit_for_bit(
    tmp_path: Path, killed_at: int
) -> None:
    straight, work = make_work()
    fit(work)
    checkpoints, log = Checkpoints(tmp_path / "checkpoints", 5, "x"), Log(tmp_path / "log.jsonl")
    _, work = make_work()
    with pytest.raises(Killed):
        fit(work, checkpoints=checkpoints, log=log, after_step=kill_at(killed_at))
    resumed, work = make_work()
    fit(work, checkpoints=checkpoints, log=log)
    assert torch.equal(weights(straight), weights(resumed))
    assert [line["step"] for line in log.read()] == list(range(1, STEPS + 1))


def test_micro_batches_weighted_by_their_share_give_the_gradient_of_the_whole_batch() -> None:
    model, work = make_work()
    model.eval()
    for batch, weight in work.micro_batches(0):
        (work.loss(batch) * weight).backward()
    summed = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    work.loss(torch.cat([batch for batch, _ in work.micro_batches(0)])).backward()
    for parts, parameter in zip(summed, model.parameters(), strict=True):
        torch.testing.assert_close(parts, parameter.grad)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    straight, work = make_work()
    fit(work)
    checkpoints = Checkpoints(tmp_path, 5, "x")
    _, work = make_work()
    with pytest.raises(Killed):
        fit(work, checkpoints=checkpoints, after_step=kill_at(23))
    damaged = tmp_path / "step-00000020" / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-7])
    warnings: list[str] = []

    class Listening(SilentProgress):
        def warn(self, message: str) -> None:
            warnings.append(message)

    resumed, work = make_work()
    fit(work, checkpoints=checkpoints, progress=Listening())
    assert torch.equal(weights(straight), weights(resumed))
    assert any("step-00000020 is damaged" in warning for warning in warnings)


def test_checkpoints_of_another_recipe_are_refused(tmp_path: Path) -> None:
    _, work = make_work()
    fit(work, checkpoints=Checkpoints(tmp_path, 5, "one"))
    _, work = make_work()
    with pytest.raises(RecloraError, match="another recipe") as caught:
        fit(work, checkpoints=Checkpoints(tmp_path, 5, "two"))
    assert "--force" in str(caught.value.hint)


def test_what_the_checkpoints_belong_to_is_told_key_by_key(tmp_path: Path) -> None:
    one = {"recipe": {"finetune": {"epochs": 1}, "targets": ("q",)}, "inputs": {"crm": "a"}}
    two = {"recipe": {"finetune": {"epochs": 5}, "targets": ("q",)}, "inputs": {"crm": "b"}}
    _, work = make_work()
    fit(work, checkpoints=Checkpoints(tmp_path, 5, "one", one))
    _, work = make_work()
    with pytest.raises(RecloraError) as caught:
        fit(work, checkpoints=Checkpoints(tmp_path, 5, "two", two))
    assert [line.strip() for line in caught.value.what.splitlines()[1:]] == [
        "inputs.crm: a -> b",
        "recipe.finetune.epochs: 1 -> 5",
    ]


@pytest.mark.parametrize("damage", ["[]", "{}", '{"step": 30}', "", "\ud83d"])
def test_where_no_checkpoint_is_whole_the_training_starts_anew_and_says_so(
    tmp_path: Path, damage: str
) -> None:
    straight, work = make_work()
    fit(work, checkpoints=Checkpoints(tmp_path, 5, "x"))
    for folder in tmp_path.glob("step-*"):
        (folder / "state.json").write_text(damage, errors="surrogatepass")
    warnings: list[str] = []

    class Listening(SilentProgress):
        def warn(self, message: str) -> None:
            warnings.append(message)

    again, work = make_work()
    fit(work, checkpoints=Checkpoints(tmp_path, 5, "x"), progress=Listening())
    assert torch.equal(weights(straight), weights(again))
    assert [("is damaged" in told, "starting anew" in told) for told in warnings] == [
        (True, False),
        (True, False),
        (False, True),
    ]


def test_a_gradient_that_is_not_finite_under_a_loss_that_is_changes_no_weight() -> None:
    model, work = make_work()
    before = weights(model).clone()
    # sqrt(0) is finite, its derivative is not.
    work = replace(work, loss=lambda batch: (0 * model(batch)).sqrt().mean())
    with pytest.raises(RecloraError, match="diverged at step 1"):
        fit(work)
    assert torch.equal(weights(model), before)


def test_divergence_names_the_step_and_the_last_good_checkpoint(tmp_path: Path) -> None:
    _, work = make_work(scale=float("inf"))
    with pytest.raises(RecloraError, match=f"diverged at step 1.*{tmp_path}"):
        fit(work, checkpoints=Checkpoints(tmp_path, 5, "x"))


def test_the_loop_stops_when_told_and_stays_stopped_when_repeated(tmp_path: Path) -> None:
    def stop_at_seven(step: int, memory: dict) -> bool:
        memory["best"] = step
        return step == 7

    for _ in range(2):
        _, work = make_work()
        memory = fit(work, checkpoints=Checkpoints(tmp_path, 100, "x"), after_step=stop_at_seven)
        assert (memory["steps"], memory["best"]) == (7, 7)


def test_two_checkpoints_are_kept(tmp_path: Path) -> None:
    _, work = make_work()
    fit(work, checkpoints=Checkpoints(tmp_path, 5, "x"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000025", "step-00000030"]


def test_a_log_line_cut_short_by_a_kill_is_dropped(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.path.write_text(json.dumps({"step": 1}) + "\n" + '{"step": 2, "lo')
    log.keep_until(2)
    assert log.read() == [{"step": 1}]


def test_linear_schedule_agrees_with_transformers() -> None:
    from transformers import get_linear_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_linear_schedule_with_warmup(optimizer, num_warmup_steps=3, num_training_steps=10)
    ours = Linear(warm_up=0.3)
    for step in range(10):
        assert ours(step, 10) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_cosine_schedule_agrees_with_transformers() -> None:
    from transformers import get_cosine_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=3, num_training_steps=10)
    ours = SCHEDULES["cosine"](0.3)
    for step in range(10):
        assert ours(step, 10) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


def test_dropout_draws_differ_between_steps_and_agree_between_runs() -> None:
    losses = []
    for _ in range(2):
        _, work = make_work()
        seen: list[float] = []

        def note(step: int, memory: dict, seen: list[float] = seen) -> bool:
            seen.append(memory["last_loss"])
            return False

        fit(work, after_step=note, progress=SILENT)
        losses.append(seen)
    assert losses[0] == losses[1]
    assert len(set(losses[0])) == STEPS
