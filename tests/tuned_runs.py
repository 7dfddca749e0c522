"""Runs of every kind on the tiny world, and exports of them, asked through stock PEFT."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from tests.world import TinyWorld

if TYPE_CHECKING:
    from reclora_cli.stages.explain import ExplainResult
    from reclora_cli.stages.export import ExportResult

USER = "4"


@pytest.fixture(scope="session")
def tuned(
    tiny_world: TinyWorld, tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory
) -> TinyWorld:
    """A run of each mixing, of a user gate, of one expert and of a plain LoRA. Read it only."""
    from reclora_cli.pipeline import graph
    from reclora_cli.recipe import delta
    from reclora_cli.stages import finetune
    from reclora_cli.workspace import Workspace

    root = tmp_path_factory.mktemp("tuned") / "ws"
    shutil.copytree(tiny_world.workspace.root, root)
    recipe = delta.changed(tiny_world.recipe, {"lm.name": str(tiny_lm)})
    workspace = Workspace(root)
    graph.ensure("finetune", recipe, workspace, device="cpu")
    for changes in (
        {"adapter.mixing": "weights"},
        {"adapter.mixing": "full"},
        {"gate.input": "user"},
        {"adapter.experts": 1},
        {"adapter.kind": "lora"},
        {},
    ):
        result = finetune.run(delta.changed(recipe, changes), workspace, device="cpu")
        grown(Path(result.artefact) / "adapter")
    return TinyWorld(tiny_world.raw, recipe, workspace)


def grown(adapter: Path) -> None:
    """Make a barely tuned adapter's updates and gates large, so that they are seen in P(yes)."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import load, save_file

    from reclora_cli.workspace import hash_file

    [file] = adapter.glob("*.safetensors")
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    tensors = load(file.read_bytes())
    stream = torch.Generator().manual_seed(0)
    for name, tensor in tensors.items():
        if name.startswith("gate.") and not name.startswith("gate.input_"):  # Not what it measured.
            tensor += torch.randn(tensor.shape, generator=stream)
        elif name.endswith((".B", "lora_B.weight")):
            tensor.copy_(torch.randn(tensor.shape, generator=stream) * 0.6)
    save_file(tensors, file, metadata=metadata)
    config = json.loads((adapter / "adapter_config.json").read_text())
    if "sha256" in config:
        config["sha256"] = hash_file(file)
        (adapter / "adapter_config.json").write_text(json.dumps(config))


def exported(world: TinyWorld, folder: Path, run: str = "reclora-k4", **how: Any) -> ExportResult:
    from reclora_cli.stages import export

    return export.run(world.recipe, world.workspace, run=run, output=folder, device="cpu", **how)


def titles(world: TinyWorld, user: str = USER) -> list[str]:
    """Items of the user's rows, the latest at the end."""
    store = world.store
    items = store.row_item(store.rows_of_user(store.find_user(user)))
    return [str(store.items["title"].iloc[int(item)]) for item in items]


def by_stock_peft(lm: Path, folder: Path | None, prompt: str) -> float:
    """P(yes) of a prompt under an adapter or none; reclora's is the prompt's framing alone."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from reclora_cli.lm.answers import Answers
    from reclora_cli.lm.framing import Framing
    from tests.peft_lora import stock

    tokenizer = AutoTokenizer.from_pretrained(lm)
    model = AutoModelForCausalLM.from_pretrained(lm, dtype=torch.float32)
    framing = Framing.of(tokenizer, "auto")
    words = Answers.of(tokenizer, framing, "Yes.", "No.")
    with torch.no_grad():
        adapted = stock(model, folder) if folder else model.eval()
        logits = adapted(torch.tensor(framing.encode([prompt]))).logits[0, -1]
    return float(torch.softmax(logits[[words.yes_id, words.no_id]].double(), 0)[0])


def told(world: TinyWorld, run: str, item: str | None = None) -> ExplainResult:
    """What the run itself says of one item, or of the user's latest row.

    Said in a copy: what is explained is kept beside the run, and the finished runs are shared.
    """
    from reclora_cli.stages import explain
    from reclora_cli.workspace import Workspace

    with TemporaryDirectory() as folder:
        root = shutil.copytree(world.workspace.root, Path(folder) / "ws")
        asked = {"user": USER, "item": item, "run": run}
        return explain.run(world.recipe, Workspace(root), **asked, device="cpu")
