"""Items like one item: what ``reclora build-index --similar TITLE`` answers."""

from __future__ import annotations

from dataclasses import dataclass

from reclora_cli.data import schema
from reclora_cli.data.store import InteractionsStore
from reclora_cli.recipe import Recipe
from reclora_cli.retrieval.catalogue import CATALOGUE, CatalogueIndex
from reclora_cli.stages import locate
from reclora_cli.workspace import Workspace


@dataclass(frozen=True)
class SimilarItem:
    """An item; ``similarity`` is the cosine after PCA, -1 to 1."""

    item: str
    title: str
    genre: str
    similarity: float


@dataclass(frozen=True)
class SimilarResult:
    """The items nearest to one, nearest first."""

    dataset: str
    item: str
    title: str
    genre: str
    similar: list[SimilarItem]
    artefact: str


def similar(recipe: Recipe, workspace: Workspace, title: str, k: int = 10) -> SimilarResult:
    """The ``k`` items of the catalogue that are most similar to the one called ``title``.

    An item's id as the dataset writes it will do as well.

    Raises:
        MissingInputError: there is no index.
        UsageError: no item is called so; near titles are named.
    """
    index = locate.index(recipe, workspace)
    locate.require(index, "index", "reclora build-index")
    store = InteractionsStore(locate.store(recipe, workspace).path)
    item = store.find_item(title, "--similar")
    items, cosines = CatalogueIndex.load(index.path / CATALOGUE).similar(item, k)
    return SimilarResult(
        dataset=recipe.data.source,
        item=_words(store, item)[0],
        title=_words(store, item)[1],
        genre=_words(store, item)[2],
        similar=[
            SimilarItem(*_words(store, int(other)), round(float(cosine), 4))
            for other, cosine in zip(items, cosines, strict=True)
        ],
        artefact=str(index.path),
    )


def _words(store: InteractionsStore, item: int) -> tuple[str, str, str]:
    row = store.items.iloc[item]
    return str(row[schema.ITEM]), str(row[schema.TITLE]), str(row.get(schema.GENRE, ""))
