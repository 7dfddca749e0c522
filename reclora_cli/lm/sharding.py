"""A frozen LM too large for one GPU, in parts over all processes (FSDP version 2).

What the launcher's configuration says is done, through accelerate: each layer's weights lie in
parts on the processes, are gathered when the layer computes, and are let go afterwards. The parts
are of frozen weights, so no gradient of theirs is ever exchanged. Adapters are attached afterwards;
they are small, whole in each process, and trained as without sharding.

    accelerate launch --use_fsdp --fsdp_version 2 --fsdp_auto_wrap_policy TRANSFORMER_BASED_WRAP \\
        --num_processes 8 -m reclora_cli finetune --llm meta-llama/Llama-2-70b-hf
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from reclora_cli import processes
from reclora_cli.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LOADED_ONCE = "FSDP_CPU_RAM_EFFICIENT_LOADING"
"""What makes transformers read weights in the main process alone, and accelerate hand them on."""


def wanted() -> bool:
    """Whether the launcher's configuration says so."""
    return processes.started().sharded


def check(quantisation: str) -> None:
    """Refuse what cannot be cut in parts.

    Raises:
        UsageError: a quantised LM.
    """
    if wanted() and quantisation != "none":
        raise UsageError(
            f"an LM in {quantisation} cannot be sharded",
            where="lm.quantisation",
            hint="Leave FSDP away, so that each GPU holds the whole LM; or use "
            "--set lm.quantisation=none.",
        )


def shard(model: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    """Spread ``model``, in place, over the processes; it is on the CPU, or nowhere, before.

    Every process must come here, and from then on make every forward pass with the others.

    Args:
        device: where this process computes.
    """
    from accelerate import Accelerator
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.fsdp_utils import fsdp2_prepare_model

    # The LM has the precision that suits the device already; accelerate is not to choose another.
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no")
    if not hasattr(accelerator.state, "fsdp_plugin"):  # On CPUs accelerate leaves it out.
        accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin()
    return fsdp2_prepare_model(accelerator, model)


@contextmanager
def each_loads_all() -> Iterator[None]:
    """Every process reads a whole model here: one that is not going to be sharded."""
    before = os.environ.pop(_LOADED_ONCE, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[_LOADED_ONCE] = before
