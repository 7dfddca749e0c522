"""Which of C candidates comes next (task ``next``): how likely each answer is, and what is said.

A candidate's score is the sum of the log-probabilities of its answer's tokens, the end token among
them. The C answers of a row stand after the same prompt, and no gate of this task reads a target,
so the prompt is computed once (``lm.prefix``), the answers are read after it, and greedy decoding
(``lm.greedy``) goes on from it. The computed part is the prompt without its last token: that one is
read again with each answer, for its logits are those of the answer's first token.

Shapes: n rows, C candidates, B sequences of one pass, T tokens of the longest of them, A tokens of
the longest answer, V vocabulary, d width of what a gate reads, P projections, K experts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reclora_cli.device import out_of_memory
from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.lm import sharding
from reclora_cli.lm.forward import answer_logits
from reclora_cli.lm.head import only_tokens
from reclora_cli.lora.adapters import Adapter
from reclora_cli.progress import SILENT, Progress
from reclora_cli.prompt.buckets import micro_batches
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.scoring.halving import Halving, Indices
from reclora_cli.scoring.lm_scorer import Prefix

if TYPE_CHECKING:
    from reclora_cli.lm.prefix import ComputedPrefix

_HELD = 8
"""Tokens of a batch, those of the computed prompt counted for each answer, in ``batch_tokens``."""

Answers = Sequence[Sequence[int]]
"""Token ids of a row's C answers, each with its end token."""


@dataclass(frozen=True)
class Chosen:
    """What the LM makes of n rows' candidates.

    Attributes:
        log_likelihood: (n, C) float64, natural logarithm; higher is likelier.
        said: n answers as token ids without the end token; empty when none was asked for.
        gate_weights: (n, P, K) float32, or ``None`` without a gate.
        computed_tokens: tokens that went through the LM, padding among them.
    """

    log_likelihood: NDArray[np.float64]
    said: list[list[int]]
    gate_weights: NDArray[np.float32] | None
    computed_tokens: int = 0


def choose(
    model: torch.nn.Module,
    adapter: Adapter,
    encoded: EncodedPrompts,
    answers: Sequence[Answers],
    representation: NDArray[np.float32] | None,
    *,
    device: torch.device,
    end_id: int | None,
    batch_tokens: int,
    longest: int,
    prefix: Prefix = "auto",
    generate: bool = True,
    progress: Progress = SILENT,
) -> Chosen:
    """Score every candidate of every row and, if asked to, let the LM answer by itself.

    Args:
        encoded: n prompts, up to where the answer starts.
        answers: n rows of C answers; each at least one token, the end token included.
        representation: (n, d) what a gate reads of each row; ``None`` when there is no gate.
        end_id: token that ends an answer.
        batch_tokens: padded tokens in one pass, those of a computed prompt not counted; halved
            once, and said to be, when the memory does not hold them.
        longest: most tokens of a generated answer, the end token among them.
        prefix: ``auto`` computes a prompt once where that is exact, ``never`` once for each
            candidate; figures differ by rounding only.
        generate: whether to decode greedily too.

    Raises:
        UsageError: ``prefix`` is ``always``, and this LM cannot go on from a computed prompt; or
            the LM is sharded.
        RecloraError: an empty answer or prompt, rows of unlike numbers of candidates, or out of
            memory, also with half of ``batch_tokens``.
    """
    _check(encoded, answers)
    asker = _Asker(model, adapter, encoded, answers, representation, device, batch_tokens, progress)
    shared = _shared(model, prefix)
    candidates = len(answers[0]) if len(answers) else 0
    likelihood = np.zeros((len(encoded), candidates), dtype=np.float64)
    said: list[list[int]] = []
    with (
        torch.inference_mode(),
        _fine_logits(model),
        progress.task("score candidates", total=len(encoded), unit="rows") as task,
    ):
        for row in range(len(encoded)):
            computed = asker.compute(row) if shared else None
            likelihood[row] = asker.log_likelihoods(row, computed)
            if generate:
                said.append(asker.say(row, computed, end_id, longest))
            task.advance(1)
        gates = asker.gate_weights() if len(encoded) else None
    return Chosen(likelihood, said, gates, asker.computed_tokens)


def _fine_logits(model: torch.nn.Module) -> AbstractContextManager[Any]:
    """Inside it, logits of a model in half precision are computed in fp32, by a copy of its head.

    A bfloat16 logit of 20 is a multiple of 1/8: too coarse to sum over a title.
    """
    own: Any = model
    head = own.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if type(head) is not torch.nn.Linear or head.weight.dtype == torch.float32:
        return nullcontext()
    return only_tokens(model, range(head.out_features))


class _Asker:
    """The passes of one ``choose``; see there for the arguments."""

    def __init__(
        self,
        model: torch.nn.Module,
        adapter: Adapter,
        encoded: EncodedPrompts,
        answers: Sequence[Answers],
        representation: NDArray[np.float32] | None,
        device: torch.device,
        batch_tokens: int,
        progress: Progress,
    ) -> None:
        self._model, self._adapter, self._encoded = model, adapter, encoded
        self._answers, self._representation, self._device = answers, representation, device
        self._batch_tokens = batch_tokens
        self._halving = Halving(device, batch_tokens, progress)
        self.computed_tokens = 0

    def gate_weights(self) -> NDArray[np.float32] | None:
        """(n, P, K) of every row; ``None`` without a gate."""
        represented = (
            None if self._representation is None else self._on_device(self._representation)
        )
        weights_PNK = self._adapter.gate_weights(represented)
        if weights_PNK is None:
            return None
        return weights_PNK.transpose(0, 1).float().cpu().numpy()

    def compute(self, row: int) -> ComputedPrefix | None:
        """All of a prompt but its last token; ``None`` where it has no other."""
        from reclora_cli.lm.prefix import compute

        ids_P = self._prompt(row)[:-1]
        if not len(ids_P):
            return None
        self.computed_tokens += len(ids_P)
        try:
            with self._adapter.personalised(self._represented(row, 1)):
                return compute(self._model, ids_P)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise self._halving.no_memory(1) from error

    def log_likelihoods(self, row: int, prefix: ComputedPrefix | None) -> NDArray[np.float64]:
        """Of a row's C answers, (C,)."""
        found = np.empty(len(self._answers[row]), dtype=np.float64)
        for batch in self._batches(row, prefix):
            for chosen, sums_B in self._halving.each(
                batch, lambda part: self._log_likelihoods(row, part, prefix)
            ):
                found[chosen] = sums_B.numpy()
        return found

    def say(
        self, row: int, prefix: ComputedPrefix | None, end_id: int | None, longest: int
    ) -> list[int]:
        """What the LM answers by itself."""
        from reclora_cli.lm.greedy import decode

        ids_P = self._prompt(row)
        try:
            with self._adapter.personalised(self._represented(row, 1)):
                said = decode(self._model, ids_P, end_id=end_id, longest=longest, prefix=prefix)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise self._halving.no_memory(1) from error
        passes = min(len(said) + 1, longest)
        self.computed_tokens += (
            sum(range(len(ids_P), len(ids_P) + passes)) if prefix is None else passes
        )
        return said

    def _batches(self, row: int, prefix: ComputedPrefix | None) -> Iterator[Indices]:
        """The row's answers in passes of ``batch_tokens``, as ``Passes`` makes them."""
        prompt = len(self._encoded[row])
        own = prompt - (prefix.length if prefix else 0)
        lengths = np.array([own + len(answer) - 1 for answer in self._answers[row]])
        for part in micro_batches(lengths, self._batch_tokens):
            # Each answer's layers copy the prompt: a batch may hold so many tokens with it.
            with_it = (int(lengths[part].max()) - own + prompt) * len(part)
            pieces = -(-with_it // (_HELD * self._batch_tokens))
            yield from np.array_split(part, min(pieces, len(part)))

    def _log_likelihoods(self, row: int, chosen: Indices, prefix: ComputedPrefix | None) -> Tensor:
        """(B,) float64, on the CPU."""
        from reclora_cli.lm.prefix import answer_logits_after

        prompt = self._encoded[row][prefix.length if prefix else 0 :]
        answers = [self._answers[row][at] for at in chosen.tolist()]
        ids_BT = _padded([[*prompt.tolist(), *answer[:-1]] for answer in answers])
        said_BA, lengths_B1 = _padded(answers), np.array([[len(answer)] for answer in answers])
        # Short answers ask for their last position again: it is inside their own tokens.
        step_BA = np.minimum(np.arange(said_BA.shape[1]), lengths_B1 - 1)
        ids, at = self._on_device(ids_BT), self._on_device(len(prompt) - 1 + step_BA)
        self.computed_tokens += ids_BT.size
        with self._adapter.personalised(self._represented(row, len(answers))):
            if prefix is None:
                logits_BAV = answer_logits(self._model, ids, at)
            else:
                logits_BAV = answer_logits_after(self._model, prefix, ids, at)
        logs_BAV = torch.log_softmax(logits_BAV.float(), dim=-1)
        logs_BA = torch.take_along_dim(logs_BAV, self._on_device(said_BA)[..., None], dim=-1)[
            ..., 0
        ]
        own_BA = torch.from_numpy(np.arange(said_BA.shape[1]) < lengths_B1)
        return (logs_BA.cpu().double() * own_BA).sum(dim=1)  # Apple's GPUs have no float64.

    def _prompt(self, row: int) -> Tensor:
        return self._on_device(self._encoded[row].astype(np.int64))

    def _represented(self, row: int, times: int) -> Tensor | None:
        """(times, d) what a gate reads of the row, on the device."""
        if self._representation is None:
            return None
        return self._on_device(np.repeat(self._representation[row : row + 1], times, axis=0))

    def _on_device(self, values: NDArray) -> Tensor:
        # Copied, as in training: where an array lies can decide the last bits of a product with it.
        return torch.tensor(values, device=self._device)


def _padded(rows: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """(B, T) ids, padded on the right with 0."""
    ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = row
    return ids


def _shared(model: torch.nn.Module, prefix: Prefix) -> bool:
    """Whether a prompt is computed once for all its candidates."""
    if sharding.wanted():
        raise UsageError(
            "a sharded LM cannot score candidates: its processes must compute in step",
            where="lm",
            hint="Start without FSDP, so that each GPU holds the whole LM.",
        )
    if prefix == "never":
        return False
    from reclora_cli.lm.prefix import obstacle  # Here, for it imports transformers.

    why = obstacle(model)
    if why and prefix == "always":
        raise UsageError(
            f"this LM cannot go on from a computed prompt: {why}",
            where="prefix",
            hint="Ask with prefix='auto', which shares a prompt where that is exact.",
        )
    return why is None


def _check(encoded: EncodedPrompts, answers: Sequence[Answers]) -> None:
    if len(encoded) != len(answers):
        raise RecloraError(f"{len(encoded)} prompts do not fit {len(answers)} rows of answers")
    for row, own in enumerate(answers):
        if len(own) != len(answers[0]):
            raise RecloraError(f"row {row} has {len(own)} candidates, row 0 has {len(answers[0])}")
        empty = next((at for at, answer in enumerate(own) if not len(answer)), None)
        if empty is not None:
            raise RecloraError(f"the answer of candidate {empty} of row {row} has no tokens")
    if (encoded.lengths < 1).any():
        raise RecloraError(f"the prompt of row {int(np.argmin(encoded.lengths))} has no tokens")
