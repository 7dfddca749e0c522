"""What a CRM of texts reads: vectors that a frozen encoder gave once, or tokens of a tuned one.

    datasets/<dataset>/texts/<encoder>/<what>/vectors.npy    of profiles, behaviours and items

Vectors are a cache: made when they are missing or of other texts, and shared by all CRMs that
read the same texts through the same encoder. A run that is stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from reclora_cli import catalog
from reclora_cli.crm.texts import NO_TEXTS, ReadTexts
from reclora_cli.data import histories
from reclora_cli.data.new_users import NewUsers
from reclora_cli.data.other_profiles import OtherProfiles
from reclora_cli.data.store import InteractionsStore
from reclora_cli.encoding.items import encode_items
from reclora_cli.encoding.text_parts import TextParts
from reclora_cli.encoding.text_tokens import TextTokens
from reclora_cli.encoding.text_vectors import TextVectors
from reclora_cli.lm.find import find
from reclora_cli.lm.load import LoadedLm, load_encoder, width_of
from reclora_cli.progress import SILENT, Progress
from reclora_cli.prompt.find import find_template
from reclora_cli.prompt.write import PromptWriter
from reclora_cli.recipe import Recipe, fingerprint
from reclora_cli.stages import item_vectors, locate
from reclora_cli.workspace import Workspace

_KINDS = ("profiles", "behaviours", "items")
_ROWS_LOOKED_AT = 2048


def reads_texts(recipe: Recipe) -> bool:
    """Whether the recipe's CRM is one that reads texts."""
    return recipe.crm.model in catalog.TEXT_CRMS


def text_width(recipe: Recipe, progress: Progress = SILENT) -> int:
    """Width of one text's vector, told without loading the encoder; 0 for a CRM of ids."""
    if not reads_texts(recipe):
        return 0
    return width_of(find(recipe.crm.ctr_bert.encoder, progress))


def open_texts(
    recipe: Recipe,
    workspace: Workspace,
    store: InteractionsStore,
    device: torch.device,
    progress: Progress = SILENT,
    *,
    encode: bool = True,
) -> ReadTexts:
    """The texts of ``store`` as the recipe's CRM reads them; none for a CRM of ids.

    Args:
        encode: make the vectors that are missing; else zeros stand for all of them (planning).

    Raises:
        UsageError: no encoder is called so, it is not of the kind that can be tuned, or a
            template says what the store does not hold.
        MissingInputError: the encoder's files are not there.
    """
    if not reads_texts(recipe):
        return NO_TEXTS
    parts = TextParts.of(store, PromptWriter(store, find_template(recipe.prompt)))
    identity = _identity(recipe, parts, progress)
    if recipe.crm.ctr_bert.tuned == "all":
        texts = _tokens(recipe, parts, identity, device, progress)
        _tell_what_fits(texts, recipe, store, progress)
        return texts
    if not encode:
        return _zeros(recipe, parts, identity, progress)
    return _vectors(recipe, workspace, parts, identity, device, progress)


def texts_of_other_users(
    recipe: Recipe,
    known: ReadTexts,
    store: NewUsers | OtherProfiles,
    device: torch.device,
    progress: Progress = SILENT,
    lm: LoadedLm | None = None,
) -> ReadTexts:
    """What the recipe's CRM reads of new users, or of one under other profiles; nothing is kept.

    Args:
        known: the texts of the store whose items they rate, as ``open_texts`` gave them.
        lm: what ``encoder_of_other_users`` gave; ``None`` loads it.
    """
    if not reads_texts(recipe):
        return NO_TEXTS
    parts = TextParts.of(store, PromptWriter(store, find_template(recipe.prompt)))
    lm = lm or encoder_of_other_users(recipe, device, progress)
    if recipe.crm.ctr_bert.tuned == "all":
        tokens = TextTokens.of(parts, lm, recipe.crm.ctr_bert.micro_batch_tokens)
        return ReadTexts(tokens, known.width, known.identity)
    assert isinstance(known.source, TextVectors)
    nothing = np.empty((0, lm.width), dtype=np.float32)
    profiles = encode_items(lm, parts.profiles) if parts.profiles else nothing
    if isinstance(store, OtherProfiles):  # Its behaviours are those of the known store.
        behaviours = known.source.behaviours
    else:
        behaviours = encode_items(lm, parts.behaviours) if parts.behaviours else nothing
    source = TextVectors(parts, profiles, behaviours, known.source.items)
    return ReadTexts(source, known.width, known.identity)


def encoder_of_other_users(
    recipe: Recipe, device: torch.device, progress: Progress = SILENT
) -> LoadedLm:
    """What ``texts_of_other_users`` reads texts with: of a tuned one the tokenizer alone is asked.

    Raises:
        UsageError, MissingInputError: see ``load_encoder``.
    """
    settings = recipe.crm.ctr_bert
    dtype = torch.float32 if settings.tuned == "all" else None
    return load_encoder(settings.encoder, device, progress, dtype=dtype)


def _identity(recipe: Recipe, parts: TextParts, progress: Progress) -> str:
    digest = hashlib.sha256(find(recipe.crm.ctr_bert.encoder, progress).identity.encode())
    for kind in _KINDS:
        for text in getattr(parts, kind):
            digest.update(text.encode() + b"\x1f")
        digest.update(b"\x1e")
    return digest.hexdigest()[:16]


def _tokens(
    recipe: Recipe, parts: TextParts, identity: str, device: torch.device, progress: Progress
) -> ReadTexts:
    settings = recipe.crm.ctr_bert
    lm = load_encoder(settings.encoder, device, progress, dtype=torch.float32)
    source = TextTokens.of(parts, lm, settings.micro_batch_tokens)
    return ReadTexts(source, lm.width, identity, _trainable(lm))


def _tell_what_fits(
    texts: ReadTexts, recipe: Recipe, store: InteractionsStore, progress: Progress
) -> None:
    assert isinstance(texts.source, TextTokens)
    train = store.split("train")
    rows = np.arange(train.start, train.stop, max(1, len(train) // _ROWS_LOOKED_AT))
    positions = histories.recent(store, rows, recipe.crm.history)
    told = texts.source.told(rows, positions)
    there = (positions >= 0).sum(axis=1)
    progress.say(
        f"{recipe.crm.ctr_bert.encoder} reads {texts.source.context} tokens: a user's text tells "
        f"of {told.mean():.1f} behaviours on average, of {there.mean():.1f} that are there; "
        f"{(told < there).mean():.0%} of the rows leave out their oldest"
    )


def _trainable(lm: LoadedLm) -> torch.nn.Module:
    model: Any = lm.model.requires_grad_(True).train()
    # What BERT puts on top for its own pre-training is not read.
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model


def _vectors(
    recipe: Recipe,
    workspace: Workspace,
    parts: TextParts,
    identity: str,
    device: torch.device,
    progress: Progress,
) -> ReadTexts:
    name = recipe.crm.ctr_bert.encoder
    folder = workspace.texts(recipe.data.source, f"{locate.slug(name)}-{identity[:8]}")
    open_lm = lru_cache(maxsize=1)(partial(load_encoder, name, device, progress))
    vectors = {}
    folder.mkdir(parents=True, exist_ok=True)
    # Not only the one that writes the workspace comes here: evaluate does too, and every process
    # of a training of several.
    with FileLock(folder / ".lock"):
        for kind in _KINDS:
            (folder / kind).mkdir(exist_ok=True)
            identity_of_kind, texts = fingerprint(identity, kind), getattr(parts, kind)
            vectors[kind] = item_vectors.encode(
                texts, identity_of_kind, folder / kind, open_lm, progress, kind
            ).vectors
    return ReadTexts(TextVectors(parts, **vectors), vectors["items"].shape[1], identity)


def _zeros(recipe: Recipe, parts: TextParts, identity: str, progress: Progress) -> ReadTexts:
    width = text_width(recipe, progress)
    counts = {kind: len(getattr(parts, kind)) for kind in _KINDS}
    told = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
    progress.say(f"texts that are encoded once, before training: {told}")
    zeros = {kind: np.zeros((count, width), np.float32) for kind, count in counts.items()}
    return ReadTexts(TextVectors(parts, **zeros), width, identity)
