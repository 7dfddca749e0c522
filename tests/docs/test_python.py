"""Python blocks of the README and of docs run as they are printed, on the tiny LM and workspace.

The blocks of a page share their names, as in a notebook. ``GIVEN`` holds the names that the text
leaves to the reader, and ``FILLED`` what stands for an ellipsis.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from reclora_cli.crm.batch import make_batch
from reclora_cli.crm.features import FeatureShape
from reclora_cli.data import histories
from reclora_cli.data.features import FeatureSpace
from reclora_cli.recipe import load
from reclora_cli.workspace import Workspace
from tests.conftest import CHECKOUT
from tests.docs.conftest import Desk
from tests.docs.pages import blocks, name_of, pages
from tests.docs.world import Places
from tests.world import TinyWorld

DOCS = CHECKOUT / "docs"

PAGES = [page for page in pages() if any(b.language == "python" for b in blocks(page))]
TOKENS = 300
"""Of the tiny LM's vocabulary."""
FILLED = {"from_pretrained(...)": "from_pretrained(lm_folder)"}


def _ids() -> torch.Tensor:
    return torch.randint(0, TOKENS, (2, 12), generator=torch.Generator().manual_seed(0))


def _readme(desk: Desk) -> dict[str, Any]:
    from transformers import AutoModelForCausalLM

    return {
        "any_causal_lm": AutoModelForCausalLM.from_pretrained(desk.places.lm),
        "representation": torch.randn(2, 64),
        "input_ids": _ids(),
        "loss": lambda output: output.logits.square().mean(),
    }


def _extending(desk: Desk) -> dict[str, Any]:
    guide = torch.randn(2, 256)
    return {
        "batches": [SimpleNamespace(guide=guide, ids=_ids())],
        "guide": guide,
        "ids": _ids(),
    }


def _elsewhere(desk: Desk) -> dict[str, Any]:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(desk.places.lm)
    return {"model": model, "guide": torch.randn(2, 16), "ids": _ids()}


def _serving(desk: Desk) -> dict[str, Any]:
    return {"recipe": load("ml-1m"), "workspace": Workspace(desk.workspace)}


GIVEN: dict[str, Callable[[Desk], dict[str, Any]]] = {
    "README.md": _readme,
    "docs/extending.md": _extending,
    "docs/how-to/layer-elsewhere.md": _elsewhere,
    "docs/serving.md": _serving,
}
OF_A_RUN = {"docs/serving.md"}
"""Pages whose blocks ask a finished run."""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_python_of_a_page_runs(
    page: Path,
    places: Places,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
):
    finished = request.getfixturevalue("finished") if name_of(page) in OF_A_RUN else None
    desk = Desk(tmp_path / "desk", places, finished)
    done = desk.reclora("prepare", "ml-1m", "--from", "ml-1m")
    assert done.code == 0, done.err
    desk.enter(monkeypatch)
    _write_frames(desk.folder)
    given = GIVEN.get(name_of(page), lambda _: {})(desk)
    names = {"__name__": "page", "lm_folder": str(desk.places.lm), **given}
    for block in (one for one in blocks(page) if one.language == "python"):
        source = block.text
        for printed, filled in FILLED.items():
            source = source.replace(printed, filled)
        exec(compile(source, f"{block.page}:{block.line}", "exec"), names)


def test_the_crm_of_ones_own_answers_rows(tiny_world: TinyWorld):
    [source] = [one.text for one in blocks(DOCS / "extending.md") if "(Crm)" in one.text]
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(source, "docs/extending.md", "exec"), names)
    space = FeatureSpace(tiny_world.store)
    rows = np.arange(5)
    positions = histories.recent(tiny_world.store, rows, 4)
    model = names["MeanPooled"](FeatureShape.of(space), tiny_world.recipe.crm)
    logit_B = model(make_batch(space, rows, positions))
    logit_B.sum().backward()
    assert logit_B.shape == (5,)
    assert model.encode(make_batch(space, rows, positions)).shape == (5, model.representation_width)


def _write_frames(folder: Path) -> None:
    """LLaRA's pickled frames, as its authors publish them."""
    os.makedirs(folder / "lastfm", exist_ok=True)
    for name in ("train_data", "Val_data", "Test_data"):
        frame = pd.DataFrame({"seq": [[1, 2]], "len_seq": [2], "next": [3]})
        (folder / "lastfm" / f"{name}.df").write_bytes(pickle.dumps(frame))
