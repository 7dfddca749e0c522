"""``reclora show``: rows as the models see them.

Fields and behaviours are what the CRM reads, the prompt is what the LM reads (without the chat
framing that is put around it), and the answer is what the LM is tuned to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclora_cli import catalog
from reclora_cli.data import histories, schema
from reclora_cli.data.features import FeatureSpace
from reclora_cli.data.slices import OneRow, row_slices
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import UsageError, did_you_mean
from reclora_cli.progress import SILENT, Progress
from reclora_cli.prompt.find import find_template
from reclora_cli.prompt.write import PromptWriter
from reclora_cli.recipe import Recipe
from reclora_cli.recipe.tree import LmRecipe
from reclora_cli.retrieval.past import RankedPast
from reclora_cli.stages import locate
from reclora_cli.workspace import Workspace

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class ShownBehaviour:
    """A behaviour of the prompt.

    Attributes:
        date: day (UTC) as ``2000-12-31``; ``timestamp`` in seconds since 1970.
        similarity: cosine with the target, of retrieved behaviours only.
    """

    item: str
    title: str
    similarity: float | None
    rating: float
    date: str
    timestamp: int


@dataclass(frozen=True)
class ShownRow:
    """A row as the models see it.

    Attributes:
        row: number in the split, from 0; ``row_id`` is its number in the store.
        user, item: ids as the dataset writes them.
        fields: categorical fields of user and target, by name, in order.
        unknown: fields whose value no training row carries: the CRM reads "unknown" instead.
        past: behaviours before this row, of which ``behaviours`` are chosen, in time order.
        seen_user: whether a training row has the user; ``seen_item`` likewise.
        popularity: training rows that have the item, as a bin: see ``data.slices``.
        prompt: without chat framing.
        answer: what the LM is tuned to say: the recipe's yes or no.
        prompt_tokens: of the framed prompt, up to the answer; ``None`` where the LM is not on
            this machine.
        answer_tokens: of the answer with its end token; likewise.
    """

    row: int
    row_id: int
    user: str
    item: str
    title: str
    genre: str
    rating: float
    date: str
    timestamp: int
    label: int
    fields: dict[str, str]
    unknown: list[str]
    past: int
    seen_user: bool
    seen_item: bool
    popularity: str
    behaviours: list[ShownBehaviour]
    prompt: str
    answer: str
    prompt_tokens: int | None
    answer_tokens: int | None


@dataclass(frozen=True)
class ShowResult:
    """Rows ``start`` to ``stop`` (exclusive) of a split that has ``of`` rows.

    Attributes:
        policy: ``recent`` or ``retrieved``.
        history: behaviours asked for.
        lm: whose tokens are counted; ``None`` when it is not on this machine.
        scale_top: the highest rating there is; 1 where ratings are labels.
    """

    dataset: str
    split: str
    start: int
    stop: int
    of: int
    policy: str
    history: int
    lm: str | None
    scale_top: float
    rows: list[ShownRow]


def run(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    split: str = "test",
    start: int = 0,
    stop: int = 1,
) -> ShowResult:
    """Rows ``start`` to ``stop`` of ``split``, with the behaviours that ``recipe.prompt`` chooses.

    ``mixed`` is a way to train; its rows are shown with retrieved behaviours, as they are scored.

    Raises:
        MissingInputError: no prepared dataset, or no index to retrieve from.
        UsageError: no such split, or the split has no such rows.
    """
    artefact = locate.store(recipe, workspace)
    locate.require(artefact, "prepared dataset", locate.prepare_command(recipe))
    store = InteractionsStore(artefact.path)
    rows = _rows(store, split, start, stop)
    policy = "recent" if recipe.prompt.behaviours == "recent" else "retrieved"
    positions, vectors = _behaviours(recipe, workspace, store, rows, policy)
    prompts = _prompts(recipe, store, rows, positions)
    tokens = _token_counts(recipe.lm, prompts, store.row_label(rows), progress)
    view = _View(store, vectors, (recipe.lm.no, recipe.lm.yes))
    slices = row_slices(store, rows)
    return ShowResult(
        dataset=recipe.data.source,
        split=split,
        start=start,
        stop=start + len(rows),
        of=len(store.split(split)),
        policy=policy,
        history=recipe.prompt.history,
        lm=None if tokens is None else recipe.lm.name,
        scale_top=store.header.rating_values[-1],
        rows=[
            view.row(
                start + at,
                int(row),
                positions[at],
                prompts[at],
                slices.of(at),
                (None, None) if tokens is None else tokens[at],
            )
            for at, row in enumerate(rows)
        ],
    )


def _rows(store: InteractionsStore, split: str, start: int, stop: int) -> Rows:
    if split not in schema.SPLITS:
        raise UsageError(
            f"unknown split {split!r}", where="--split", hint=did_you_mean(split, schema.SPLITS)
        )
    every = store.split(split)
    if not 0 <= start < min(stop, len(every)):
        raise UsageError(
            f"{split} has {len(every):,} rows, numbered from 0; {start}:{stop} holds none of them",
            where="--rows",
            hint="Say --rows 0:20.",
        )
    return np.asarray(every[start:stop], dtype=np.int64)


def _behaviours(
    recipe: Recipe, workspace: Workspace, store: InteractionsStore, rows: Rows, policy: str
) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
    """Positions (n, history) in time order, and the unit vectors they were retrieved by."""
    if policy == "recent":
        return histories.recent(store, rows, recipe.prompt.history), None
    index = locate.require(
        locate.index(recipe, workspace), "index", "reclora build-index` or add `--recent"
    )
    past = RankedPast.open(index.path, store, recipe.retriever)
    if recipe.prompt.history > past.long:
        raise UsageError(
            f"{recipe.prompt.history} behaviours asked for, and {past.long} are ranked",
            where="--behaviours",
            hint="Rank more: `reclora build-index --set retriever.long=N`.",
        )
    return histories.in_time_order(past.of(rows), recipe.prompt.history), past.vectors


def _prompts(
    recipe: Recipe, store: InteractionsStore, rows: Rows, positions: NDArray[np.int64]
) -> list[str]:
    template = find_template(recipe.prompt)
    writer = PromptWriter(store, template)
    return writer.text(store.row_user(rows), store.row_item(rows), positions)


def _token_counts(
    recipe: LmRecipe, prompts: Sequence[str], labels: NDArray[Any], progress: Progress
) -> list[tuple[int, int]] | None:
    """Tokens of each framed prompt and of its answer; nothing is fetched for it."""
    if not _is_here(recipe.name):
        progress.say(f"tokens are not counted: {recipe.name} is not on this machine yet")
        return None
    from reclora_cli.lm.answers import Answers
    from reclora_cli.lm.find import find
    from reclora_cli.lm.framing import Framing
    from reclora_cli.lm.load import load_tokenizer

    tokenizer = load_tokenizer(find(recipe.name, progress))
    framing = Framing.of(tokenizer, recipe.chat_template)
    answers = Answers.of(tokenizer, framing, recipe.yes, recipe.no)
    lengths = (len(answers.no_ids), len(answers.yes_ids))
    return [
        (len(ids), lengths[int(label)])
        for ids, label in zip(framing.encode(prompts), labels, strict=True)
    ]


def _is_here(lm: str) -> bool:
    """Whether an LM can be read without fetching it."""
    if lm in catalog.PACKAGED_LMS:
        return bool(catalog.PACKAGED_LMS.load(lm).folder.is_dir())
    if Path(lm).expanduser().exists():
        return True
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(lm, "config.json"), str)


class _View:
    """Rows and behaviours of one store in words."""

    def __init__(
        self,
        store: InteractionsStore,
        vectors: NDArray[np.float32] | None,
        answers: tuple[str, str],
    ) -> None:
        """``answers``: to a dislike, and to a like."""
        self._store, self._vectors, self._answers = store, vectors, answers
        self._space = FeatureSpace(store)

    def row(
        self,
        number: int,
        row: int,
        positions: NDArray[np.int64],
        prompt: str,
        slices: OneRow,
        tokens: tuple[int | None, int | None],
    ) -> ShownRow:
        store, at = self._store, int(self._store.row_position[row])
        user, item, label = int(store.user[at]), int(store.item[at]), int(store.label[at])
        item_id, title, genre = self._words(item)
        return ShownRow(
            row=number,
            row_id=row,
            user=str(store.users[schema.USER].iloc[user]),
            item=item_id,
            title=title,
            genre=genre,
            label=label,
            fields=self._fields(user, item),
            unknown=self._unknown(row),
            past=slices.history_length,
            seen_user=slices.seen_user,
            seen_item=slices.seen_item,
            popularity=slices.popularity,
            behaviours=[self._behaviour(int(p), item) for p in positions if p >= 0],
            prompt=prompt,
            answer=self._answers[label],
            prompt_tokens=tokens[0],
            answer_tokens=tokens[1],
            **self._rated(at),
        )

    def _words(self, item: int) -> tuple[str, str, str]:
        """Id, title and first genre of an item; not every dataset has genres."""
        line = self._store.items.iloc[item]
        return str(line[schema.ITEM]), str(line[schema.TITLE]), str(line.get(schema.GENRE, ""))

    def _behaviour(self, position: int, target: int) -> ShownBehaviour:
        item = int(self._store.item[position])
        item_id, title, _ = self._words(item)
        cosine = None
        if self._vectors is not None:
            cosine = round(float(self._vectors[item] @ self._vectors[target]), 4)
        return ShownBehaviour(item_id, title, cosine, **self._rated(position))

    def _rated(self, position: int) -> dict[str, Any]:
        """Rating, day and second of one behaviour."""
        seconds = int(self._store.time[position])
        return {
            "rating": float(self._store.header.rating_values[int(self._store.rating[position])]),
            "date": self._store.date(seconds),
            "timestamp": seconds,
        }

    def _fields(self, user: int, item: int) -> dict[str, str]:
        codes = [*self._store.user_fields[user], *self._store.item_fields[item]]
        return {
            name: str(self._store.vocabulary(name)[int(code)])
            for name, code in zip(self._space.field_names, codes, strict=True)
        }

    def _unknown(self, row: int) -> list[str]:
        [slots] = self._space.rows(np.array([row]))
        names = self._space.field_names
        return [name for at, name in enumerate(names) if slots[at] == self._space.unknown(at)]
