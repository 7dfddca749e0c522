"""How many bytes of tensors live at a time, told by watching them come and go.

On the meta device nothing is allocated, so the peak of a forward and a backward pass of any model
is told without loading it: what autograd keeps, what gradient checkpointing computes again, and
what lives for one operation only are all in it, since PyTorch itself takes the steps.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

OTHER = "other"
"""Part of what is kept outside every named module."""


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the tensors made within this context that live, and the most that ever did.

    A storage counts once, however many tensors view it, and until PyTorch frees it.

    Args:
        known: tensors whose storages are not counted (parameters, inputs).

    Attributes:
        live: bytes now.
        peak: the most there were at one time.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._known = [tensor.untyped_storage() for tensor in known]  # Held: ids stay their own.
        self._seen = {id(storage) for storage in self._known}

    def expect(self, tensor: Tensor) -> None:
        """Do not count ``tensor`` either."""
        self._known.append(tensor.untyped_storage())
        self._seen.add(id(self._known[-1]))

    def __torch_dispatch__(
        self,
        function: Callable[..., Any],
        types: Any,
        arguments: tuple[Any, ...] = (),
        named: Mapping[str, Any] | None = None,
    ) -> Any:
        made = function(*arguments, **(named or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                self._count(leaf)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        name, size = id(storage), storage.nbytes()
        if name in self._seen:
            return
        self._seen.add(name)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._freed, name, size)

    def _freed(self, name: int, size: int) -> None:
        self._seen.discard(name)
        self.live -= size


class Kept:
    """Bytes that autograd keeps for the backward pass, by the part of the model that keeps them.

    Args:
        known: tensors that are not counted.

    Attributes:
        by_part: part -> bytes. A storage that several keep counts for the first.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        self.by_part: dict[str, int] = {}
        self._parts: list[str] = []
        self._held: dict[int, torch.UntypedStorage] = {
            id(storage): storage for storage in (tensor.untyped_storage() for tensor in known)
        }

    @contextmanager
    def watching(self, parts: Mapping[torch.nn.Module, str]) -> Iterator[None]:
        """Count what is kept; what a module of ``parts`` keeps is that part's, the inner one's."""
        handles = []
        for module, part in parts.items():
            handles.append(module.register_forward_pre_hook(partial(self._enter, part)))
            handles.append(module.register_forward_hook(self._leave))
        try:
            with torch.autograd.graph.saved_tensors_hooks(self._note, lambda tensor: tensor):
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, part: str, *_: Any) -> None:
        self._parts.append(part)

    def _leave(self, *_: Any) -> None:
        self._parts.pop()

    def _note(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if id(storage) not in self._held:
            self._held[id(storage)] = storage
            part = self._parts[-1] if self._parts else OTHER
            self.by_part[part] = self.by_part.get(part, 0) + storage.nbytes()
        return tensor
