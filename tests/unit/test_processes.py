"""Training in several processes: two of them, over gloo, do what one does."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from reclora_cli import processes
from reclora_cli import recipe as recipes
from reclora_cli.errors import UsageError
from reclora_cli.lm.load import load
from reclora_cli.processes import ALONE, Processes
from reclora_cli.stages import locate, pretrain_crm, reproduce, tune_lm
from reclora_cli.training import Log, ParameterGroup, Work, fit
from reclora_cli.training.step import make_optimizer, take_step
from tests.launch import start_two
from tests.tiny_lm import tiny_recipe
from tests.world import TinyWorld

TOLERANCE = 1e-6
"""Weights may differ so much: float32 sums in another order. Most tried differ by 1.5e-7."""

_TRAINING = """
import os, signal, sys
from pathlib import Path
import torch
from reclora_cli import processes
from reclora_cli.training import Checkpoints, Log, fit
from tests.unit.test_processes import regression

folder, killed_at = Path(sys.argv[1]), int(sys.argv[2])
together = processes.meet(torch.device("cpu"))
model, work = regression(together)

def after_step(step, memory):
    if step == killed_at and together.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return False

fit(work, checkpoints=Checkpoints(folder / "checkpoints", 5, "x"),
    log=Log(folder / f"log-{together.rank}.jsonl"), after_step=after_step)
torch.save(model.state_dict(), folder / f"weights-{together.rank}.pt")
"""


_PARTING = """
import atexit, os, sys
from pathlib import Path

def threads():
    tasks = Path("/proc/self/task").iterdir()
    names = [(task / "comm").read_text().strip() for task in tasks]
    return [name for name in names if "gloo" in name]

# Registered before the processes meet, so called after they part.
atexit.register(lambda: print(f"at the end: {threads()}", flush=True))

import torch
from reclora_cli import processes
together = processes.meet(torch.device("cpu"))
together.wait()
import torch.distributed.nn.functional  # as Transformers does, later
if together.main:
    print(f"together: {threads() != []}", flush=True)
"""


def regression(together: Processes = ALONE) -> tuple[torch.nn.Module, Work[torch.Tensor]]:
    """20 steps of 7 rows each, so that shares are uneven; every fourth step has a single row."""
    rows = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.Dropout(0.5 if together.count == 3 else 0.0),
            torch.nn.Linear(8, 1),
        )  # fmt: skip

    def micro_batches(step: int) -> list[tuple[torch.Tensor, float]]:
        chosen = rows[step : step + (1 if step % 4 == 3 else 7)]
        own = chosen[together.share(len(chosen))]
        return [(own, len(own) / len(chosen))] if len(own) else []

    return model, Work(
        groups=[ParameterGroup(list(model.parameters()), 1e-2, weight_decay=0.1)],
        tensors=dict(model.state_dict()),
        steps=20,
        micro_batches=micro_batches,
        loss=lambda batch: (model(batch) - 1).square().mean(),
        rows_per_step=7,
        seed=0,
        clip_norm=0.5,
        together=together,
    )


def train_two(folder: Path, killed_at: int = 0) -> subprocess.CompletedProcess[str]:
    program = folder / "program.py"
    program.write_text(_TRAINING, encoding="utf-8")
    return start_two(program, folder, str(killed_at))


def weights(file: Path) -> torch.Tensor:
    return torch.cat([part.flatten() for part in torch.load(file, weights_only=True).values()])


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training in two processes leaves."""
    folder = tmp_path_factory.mktemp("unbroken")
    done = train_two(folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_two_processes_reach_the_weights_of_one(unbroken: Path) -> None:
    model, work = regression()
    fit(work)

    found = torch.load(unbroken / "weights-0.pt", weights_only=True)
    assert largest_difference(found, model.state_dict()) < TOLERANCE


def test_both_processes_hold_the_same_bits(unbroken: Path) -> None:
    assert torch.equal(weights(unbroken / "weights-0.pt"), weights(unbroken / "weights-1.pt"))


def test_the_main_process_alone_writes_the_log_and_it_tells_the_whole_batch(
    unbroken: Path, tmp_path: Path
) -> None:
    _, work = regression()
    fit(work, log=Log(tmp_path / "log.jsonl"))

    expected = losses(Log(tmp_path / "log.jsonl").read())
    assert losses(Log(unbroken / "log-0.jsonl").read()) == pytest.approx(expected, rel=1e-5)
    assert not (unbroken / "log-1.jsonl").exists()


def test_one_process_killed_ends_both_and_the_repetition_goes_on_bit_for_bit(
    unbroken: Path, tmp_path: Path
) -> None:
    killed = train_two(tmp_path, killed_at=13)

    assert killed.returncode != 0
    assert not list(tmp_path.glob("weights-*"))
    assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())][-1] == (
        "step-00000010"
    )
    assert train_two(tmp_path).returncode == 0
    assert torch.equal(weights(tmp_path / "weights-0.pt"), weights(unbroken / "weights-0.pt"))


def test_two_processes_train_the_crm_that_one_trains(tiny_copy: TinyWorld) -> None:
    tree = tiny_copy.recipe.model_dump(mode="json")
    tree["crm"] |= {"model": "din", "dropout": 0.0, "user_dropout": 0.0, "item_dropout": 0.0}
    recipe = recipes.from_tree({**tree, "crm": {**tree["crm"], "epochs": 3}})
    file = tiny_copy.workspace.root / "recipe.yaml"
    file.write_text(recipes.to_yaml(recipe), encoding="utf-8")
    folder = locate.crm(recipe, tiny_copy.workspace).path

    command = ["pretrain-crm", "--recipe", file, "-w", tiny_copy.workspace.root, "--json"]
    done = start_two("-m", "reclora_cli", *command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"best_step"') == 1
    assert done.stderr.count("validation AUC") == 6
    found = load_file(folder / "model.safetensors")
    log_file = folder / "log.jsonl"
    log = Log(log_file).read()

    alone = pretrain_crm.run(recipe, tiny_copy.workspace, device="cpu", force=True)
    assert alone.steps == 24
    assert largest_difference(found, load_file(folder / "model.safetensors")) < TOLERANCE
    log_alone = Log(log_file).read()
    assert passes(log) == [pytest.approx(one, rel=1e-5) for one in passes(log_alone)]
    assert losses(log) == pytest.approx(losses(log_alone), rel=1e-5)


def passes(lines: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Figures of all validation rows, of each validation pass."""
    found = [line["all"] for line in lines if "all" in line]
    assert len(found) == 6
    return found


def losses(lines: list[dict[str, Any]]) -> list[float]:
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads Linux's /proc")
def test_no_thread_of_the_group_lives_on_into_the_end_of_a_process(tmp_path: Path) -> None:
    script = tmp_path / "parting.py"
    script.write_text(_PARTING, encoding="utf-8")
    done = start_two(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("together: True") == 1
    assert done.stdout.count("at the end: []") == 2


def test_a_command_of_one_process_refuses_two(tiny_copy: TinyWorld) -> None:
    done = start_two("-m", "reclora_cli", "build-index", "-w", tiny_copy.workspace.root)

    assert done.returncode != 0
    assert "2 processes were started, and this command runs in one" in done.stderr
    assert "pretrain-crm, finetune and evaluate can use several" in done.stderr
    assert not list(tiny_copy.workspace.dataset("ml-1m").glob("index/*"))


def test_stages_of_one_process_refuse_two(
    one_of_two: pytest.MonkeyPatch, tiny_copy: TinyWorld, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="2 processes were started, and a search for settings"):
        tune_lm.run(tiny_copy.recipe, tiny_copy.workspace, device="cpu")
    with pytest.raises(UsageError, match="2 processes were started, and the reproduction of a run"):
        reproduce.run(tiny_copy.recipe, tiny_copy.workspace, source=tmp_path, device="cpu")


@pytest.fixture
def one_of_two(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of the second of two processes, before they have met."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "asks for DeepSpeed"),
        ({"ACCELERATE_USE_MEGATRON_LM": "1"}, "asks for Megatron-LM"),
        ({"ACCELERATE_USE_FSDP": "true"}, "FSDP version 2 only"),
        (
            {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_OFFLOAD_PARAMS": "true"},
            "stays on the GPUs",
        ),
    ],
)
def test_what_accelerate_is_configured_for_and_is_not_done_is_refused(
    one_of_two: pytest.MonkeyPatch, variables: dict[str, str], told: str
) -> None:
    for name, value in variables.items():
        one_of_two.setenv(name, value)

    with pytest.raises(UsageError, match=told):
        processes.meet(torch.device("cpu"))


def test_a_quantised_lm_is_not_sharded(one_of_two: pytest.MonkeyPatch, tiny_lm: Path) -> None:
    one_of_two.setenv("ACCELERATE_USE_FSDP", "true")

    with pytest.raises(UsageError, match="8bit cannot be sharded"):
        load(tiny_recipe(tiny_lm, quantisation="8bit"), torch.device("cpu"))


def test_one_process_alone_shards_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")

    assert processes.started() == ALONE


@pytest.mark.parametrize(("count", "n"), [(1, 5), (2, 5), (3, 7), (4, 2), (3, 0)])
def test_shares_are_all_of_it_once_and_differ_by_one_at_most(count: int, n: int) -> None:
    shares = [list(range(n))[Processes(rank, count).share(n)] for rank in range(count)]

    assert [at for share in shares for at in share] == list(range(n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_each_process_drops_units_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum over processes is left out, so that one process can play each of three."""
    monkeypatch.setattr(Processes, "summed", lambda self, tensor: tensor)
    _, model_rows = regression()
    [(rows, _)] = model_rows.micro_batches(0)
    losses = []
    for rank in range(3):
        _, work = regression(Processes(rank, 3))
        losses.append(take_step(work, make_optimizer(work.groups), 0, [(rows, 1.0)]))

    assert len(set(losses)) == 3
