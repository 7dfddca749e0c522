"""Vectors as input tokens of a frozen LM, as LLaRA puts items' embeddings beside their titles.

An id of ``vocabulary + n`` stands for vector n of a table: it is projected into the LM's input
space. The LM's own table of embeddings is wrapped where it stands and put back at the end; nothing
of the LM changes, in memory or on disk, and ids go through padding, prefixes and generation as any.

Shapes: B prompts, T tokens, N vectors, D their width, H width of the LM.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from reclora_cli.errors import MissingInputError, RecloraError, UsageError
from reclora_cli.workspace import atomic_file

FILE = "projector.safetensors"


class Projector(nn.Module):
    """D to H: two linear layers with GELU between (LLaRA's MLP), in fp32."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., H)."""
        projected: Tensor = self.outer(nn.functional.gelu(self.inner(x)))
        return projected


class VectorTokens(nn.Module):
    """An LM's input embeddings that also know vectors.

    Args:
        words: the LM's own.
        vectors_ND: frozen.
        projector: trained or loaded by the caller.
    """

    vectors_ND: Tensor

    def __init__(self, words: nn.Module, vectors_ND: Tensor, projector: Projector) -> None:
        super().__init__()
        self.words, self.projector = words, projector
        self.register_buffer("vectors_ND", vectors_ND, persistent=False)
        self.num_embeddings = vocabulary_of(words)

    @property
    def weight(self) -> Tensor:
        """The words' table: models look at its dtype and device."""
        weight: Tensor = self.words.weight  # type: ignore[assignment]
        return weight

    def forward(self, ids_BT: Tensor) -> Tensor:
        """(B, T) ids to (B, T, H)."""
        is_vector_BT = ids_BT >= self.num_embeddings
        found_BTH: Tensor = self.words(torch.where(is_vector_BT, 0, ids_BT))
        at_BT = torch.where(is_vector_BT, ids_BT - self.num_embeddings, 0)
        # In fp32 whatever surrounds it, as gates and experts are trained.
        with _no_autocast(ids_BT.device.type):
            projected_BTH = self.projector(self.vectors_ND[at_BT])
        return torch.where(is_vector_BT[..., None], projected_BTH.to(found_BTH.dtype), found_BTH)


def _no_autocast(kind: str) -> AbstractContextManager[object]:
    """Computes as written; the meta device, where memory is traced, has no autocast to turn off."""
    if not torch.amp.is_autocast_available(kind):
        return nullcontext()
    return torch.autocast(kind, enabled=False)


def vocabulary_of(words: nn.Module) -> int:
    """Rows of a table of input embeddings: ids from there on are free to stand for vectors.

    Raises:
        RecloraError: it does not say.
    """
    rows = getattr(words, "num_embeddings", None)
    if not isinstance(rows, int):
        raise RecloraError(
            f"the LM's input embeddings ({type(words).__name__}) do not say how many they are"
        )
    return rows


def put_vectors(model: nn.Module, vectors_ND: Tensor, *, seed: int = 0) -> VectorTokens:
    """Wrap the input embeddings of ``model``, with a projector that is untrained.

    The projector's output starts as large as the words are: a vector that the LM has not learnt to
    read disturbs it no more than a word would.

    Args:
        vectors_ND: moved to where the words are.
        seed: of the projector's initial weights.

    Raises:
        UsageError: vectors are there already.
    """
    own: Any = model
    words = own.get_input_embeddings()
    if isinstance(words, VectorTokens):
        raise UsageError("the LM knows vectors already", where="put_vectors")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        projector = Projector(vectors_ND.shape[1], words.weight.shape[1])
    wrapped = VectorTokens(words, vectors_ND.float(), projector)
    if words.weight.device.type != "meta":
        _as_large_as_words(wrapped)
    own.set_input_embeddings(wrapped.to(words.weight.device))
    return wrapped


@torch.no_grad()
def _as_large_as_words(tokens: VectorTokens) -> None:
    spread = tokens.projector(tokens.vectors_ND).std()
    wanted = tokens.weight.float().std().to(spread.device)
    for own in tokens.projector.outer.parameters():
        own.mul_(wanted / spread.clamp_min(1e-6))


def take_vectors(model: nn.Module) -> None:
    """Put the LM's own input embeddings back, if vectors were put over them."""
    own: Any = model
    words = own.get_input_embeddings()
    if isinstance(words, VectorTokens):
        own.set_input_embeddings(words.words)


def save_projector(projector: Projector, folder: Path) -> None:
    """Write its weights into ``folder``, in fp32."""
    tensors = {
        name: tensor.detach().to("cpu", torch.float32).contiguous()
        for name, tensor in projector.state_dict().items()
    }
    content = safetensors.torch.save(tensors)
    digest = hashlib.sha256(content).hexdigest()
    with atomic_file(folder / FILE) as file:
        file.write(content)
    with atomic_file(folder / f"{FILE}.sha256") as file:
        file.write(f"{digest}\n".encode())


def load_projector(projector: Projector, folder: Path) -> None:
    """Give ``projector`` the weights in ``folder``.

    Raises:
        MissingInputError: there are none.
        RecloraError: they are damaged, or of other widths.
    """
    file = folder / FILE
    if not file.is_file():
        raise MissingInputError("the projector of items is missing", where=str(file))
    content, noted = file.read_bytes(), folder / f"{FILE}.sha256"
    whole = noted.is_file() and noted.read_text().strip() == hashlib.sha256(content).hexdigest()
    try:
        if not whole:
            raise RuntimeError("its SHA-256 is not the one noted beside it")
        projector.load_state_dict(safetensors.torch.load(content))
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise RecloraError(
            f"the projector of items is damaged, or of another LM or encoder ({error})",
            where=str(file),
            hint="Copy it again from where it was written, or fine-tune anew.",
        ) from error
