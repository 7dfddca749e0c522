"""The page of a workspace: what it tells, that it is whole HTML, and that it loads nothing."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reclora_cli.cli.report.page import render, write
from reclora_cli.cli.report.svg import drawing, inline
from reclora_cli.errors import RecloraError
from reclora_cli.stages import explain, kept_evaluations, report, runs
from reclora_cli.workspace import Workspace
from tests.chromium import opened
from tests.evaluated_runs import GATED, PLAIN, folder

HOSTILE = "<script>alert('$x$')</script>"
_VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Reads a page strictly: every element is closed in its turn.

    Attributes:
        ids, tags: how often each occurs.
        links: values of ``href`` and ``src`` and the like.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: Counter[str] = Counter()
        self.tags: Counter[str] = Counter()
        self.links: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._seen(tag, attrs)
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._seen(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def _seen(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            if name == "id":
                self.ids[str(value)] += 1
            if name in {"href", "src", "xlink:href", "srcset", "data", "action", "poster"}:
                self.links.append(str(value))

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def full(evaluated: Workspace) -> Workspace:
    """With a ladder of shots, a model of no calibration, an ablation, and hostile names."""
    [file] = evaluated.root.glob("datasets/*/evaluations/*.json")
    told = json.loads(file.read_text())
    told["models"][1]["calibration"] = None
    file.write_text(json.dumps(told))
    hostile = json.loads(json.dumps(told).replace(told["models"][1]["name"], HOSTILE))
    hostile["models"][1]["kind"] = "zero-shot"
    file.with_name(f"test-{told['rows_hash']}-ffff.json").write_text(json.dumps(hostile))
    ablation(evaluated.dataset("ml-1m") / "ablations" / "table-3")
    ladder(evaluated, told)
    return evaluated


def ablation(place: Path) -> None:
    place.mkdir(parents=True)
    table = {"columns": ["variant", HOSTILE], "rows": [["w/o meta-LoRA", ".5"], ["full", ".6"]]}
    content = {"title": f"Table 3 {HOSTILE}", "table": {**table, "note": "n 12"}}
    outside = ["figure.svg", "../../store/store.json", "gone.svg"]
    (place / "result.json").write_text(json.dumps({**content, "files": outside}))
    drawn = f'<svg xmlns="http://www.w3.org/2000/svg" id="a">{HOSTILE}</svg>'
    (place / "figure.svg").write_text(drawn)


def ladder(workspace: Workspace, told: dict[str, Any]) -> None:
    """A second run that differs from the gated one in its shots alone, on the same rows."""
    import shutil

    from reclora_cli.workspace import Artefact

    gated = folder(workspace, GATED)
    longer = Path(shutil.copytree(gated, gated.with_name("reclora-k4-64-00000000")))
    recipe = longer / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("shots: 16\n", "shots: 64\n"))
    one = {**told["models"][0], "name": longer.name, "identity": Artefact(longer).identity()}
    [first, *_] = workspace.root.glob("datasets/*/evaluations/*.json")
    more = {**told, "models": [one], "differences": [], "slices": []}
    first.with_name(f"test-{told['rows_hash']}-eeee.json").write_text(json.dumps(more))


def page_of(workspace: Workspace) -> tuple[str, Page]:
    text = render(report.run(workspace))
    return text, Page(text)


# -- what is read ---------------------------------------------------------------------------------


def test_a_curve_is_the_mean_of_spans_of_steps(tmp_path: Path) -> None:
    losses = np.random.default_rng(0).random(600)
    lines = [{"step": at + 1, "loss": float(loss)} for at, loss in enumerate(losses)]
    lines.append({"step": 600, "all": {"auc": 0.5}})
    (tmp_path / "log.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    curve = report.curve_of(tmp_path / "log.jsonl")
    assert len(curve.steps) == report.CURVE_POINTS
    assert curve.steps[:2] == [5.5, 15.5]
    assert curve.losses == pytest.approx(losses.reshape(60, 10).mean(axis=1), abs=1e-5)


def test_the_average_user_s_weights_are_read_of_runs_with_a_gate(evaluated: Workspace) -> None:
    [dataset] = report.run(evaluated).datasets
    gates = {run.line.name: run.gate for run in dataset.runs}
    gate = gates[folder(evaluated, GATED).name]
    assert gate is not None
    kept = np.load(folder(evaluated, GATED) / "population_mean.npy")
    assert gate.mean == pytest.approx(kept.mean(axis=0), abs=1e-6)
    assert sum(gate.mean) == pytest.approx(1, abs=1e-5)
    assert len(gate.by_layer) == 2
    assert gates[folder(evaluated, PLAIN).name] is None


def test_damaged_parts_are_named_and_the_rest_is_reported(evaluated: Workspace) -> None:
    [file] = evaluated.root.glob("datasets/*/evaluations/*.json")
    file.write_text("{")
    (folder(evaluated, PLAIN) / "log.jsonl").write_text("no json\n")
    (folder(evaluated, "lora-r2-32") / "recipe.yaml").write_text("seed: [")
    [manifest] = evaluated.root.glob("datasets/*/crm/*/manifest.json")
    manifest.write_text("{")
    found = report.run(evaluated)
    assert len(found.notes) == 4
    assert len(found.datasets[0].runs) == 7
    text, page = page_of(evaluated)
    assert "Not read, and left out" in page.text
    assert str(file) in text


def test_runs_of_a_dataset_that_is_no_more_prepared_are_reported(evaluated: Workspace) -> None:
    (evaluated.dataset("ml-1m") / "store" / "manifest.json").unlink()
    assert "Its prepared store is not here." in page_of(evaluated)[1].text


def test_files_of_earlier_and_of_later_versions_are_read_leniently(
    evaluated: Workspace,
) -> None:
    [file] = evaluated.root.glob("datasets/*/evaluations/*.json")
    told = json.loads(file.read_text())
    model = told["models"][0]
    model["all"] |= {"ece": 0.03, "user_auc": {"value": 0.7, "low": 0.6, "high": 0.8}, "new": {}}
    del model["calibration"]  # As evaluate wrote before there was one.
    del told["slices"]
    file.write_text(json.dumps(told))
    kept = kept_evaluations.read(file)
    assert set(kept.models[0].figures) == {"auc", "log_loss", "accuracy", "ece", "user_auc"}
    assert kept.models[0].calibration == []
    assert kept.slices == []
    assert "user-AUC" in page_of(evaluated)[1].text


# -- what the page tells --------------------------------------------------------------------------


def test_the_page_tells_datasets_results_runs_crms_and_manifests(full: Workspace) -> None:
    _, page = page_of(full)
    for run in full.root.glob("datasets/*/runs/*"):
        assert run.name in page.text
    for part in ("Results", "AUC by slice", "Calibration", "AUC by shots", "Training loss"):
        assert part in page.text
    for part in ("Gate weights of the average user", "Validation AUC", "Indexes", "Manifests"):
        assert part in page.text
    assert "12 test rows, a subset of" in page.text
    assert '"stage": "finetune"' in page.text
    assert page.tags["svg"] > 6


def test_a_model_that_was_tuned_again_stands_apart(evaluated: Workspace) -> None:
    file = folder(evaluated, GATED) / "manifest.json"
    assert "since removed or made anew" not in page_of(evaluated)[1].text
    file.write_text(file.read_text() + "\n")
    assert "1 figure of models that were since removed or made anew" in page_of(evaluated)[1].text


def test_an_ablation_s_table_and_its_own_figures_are_embedded(full: Workspace) -> None:
    text, page = page_of(full)
    assert "w/o meta-LoRA" in page.text
    assert page.tags["img"] == 1
    assert text.count("data:image/svg+xml;base64,") == 1


# -- that it is sound -----------------------------------------------------------------------------


def test_the_page_is_well_formed_and_no_id_occurs_twice(full: Workspace) -> None:
    text, page = page_of(full)
    assert [name for name, times in page.ids.items() if times > 1] == []
    assert page.tags["figcaption"] <= page.tags["figure"]
    used = re.findall(r'(?:xlink:)?href="#([^"]+)"|url\(#([^)]+)\)', text)
    assert {one or other for one, other in used} <= set(page.ids)


def test_foreign_names_stay_text(full: Workspace) -> None:
    text, page = page_of(full)
    assert "<script" not in text
    assert page.tags["script"] == 0
    assert page.text.count(HOSTILE) > 4


def test_nothing_of_the_page_lies_elsewhere(full: Workspace) -> None:
    text, page = page_of(full)
    assert [link for link in page.links if not link.startswith(("#", "data:"))] == []
    assert set(re.findall(r"https?://[^\"' <]+", text)) <= {"http://www.w3.org/1999/xlink"}
    assert not re.search(r"@import|url\((?!#)", text)


def test_the_page_is_small(full: Workspace, tmp_path: Path) -> None:
    written = write(report.run(full), tmp_path / "page.html")
    assert written.bytes == (tmp_path / "page.html").stat().st_size < 400_000


def test_a_page_that_cannot_be_written_is_an_error_that_says_where(
    evaluated: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecloraError, match="a file stands where a folder must be"):
        write(report.run(evaluated), tmp_path / "file" / "page.html")


def test_two_charts_share_no_id() -> None:
    from matplotlib.figure import Figure

    with drawing():
        made = []
        for name in ("a", "b"):
            figure = Figure()
            figure.subplots().plot([1, 2], marker="o", label="$5")
            made.append(str(inline(figure, name, 'a "chart"')))
    first, second = (set(re.findall(r'id="([^"]+)"', text)) for text in made)
    assert first
    assert not first & second
    assert 'aria-label="a &#34;chart&#34;"' in made[0]
    assert "currentColor" in made[0]


# -- in a browser ---------------------------------------------------------------------------------


def test_a_browser_without_network_opens_it_without_complaint(
    full: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    write(report.run(full), file)
    with opened(file) as page:
        assert page.complaints == []
        assert page.requests == [file.as_uri()]
        assert page.value("document.querySelectorAll('table').length") >= 6
        assert page.value("document.querySelector('img').naturalWidth") > 0
        assert page.value("document.querySelector('.chart svg').getBBox().width") > 100
        for width in (1280, 400):
            page.shaped(width)
            assert page.value("document.documentElement.scrollWidth") <= width
        page.shaped(1280, scheme="light")
        light = page.value("getComputedStyle(document.body).backgroundColor")
        page.shaped(1280, scheme="dark")
        assert page.value("getComputedStyle(document.body).backgroundColor") != light


def test_the_browser_would_tell_of_errors_and_of_what_lies_elsewhere(tmp_path: Path) -> None:
    bad = '<img src="https://example.org/a.png"><script>console.error("x"); throw Error()</script>'
    (tmp_path / "bad.html").write_text(bad)
    with opened(tmp_path / "bad.html") as page:
        assert len(page.complaints) == 3
        assert page.requests[1:] == ["https://example.org/a.png"]


def test_an_explanation_that_was_asked_for_is_kept_and_shown(evaluated: Workspace) -> None:
    recipe = runs.choose(evaluated, "ml-1m", GATED).recipe
    assert "Explanations" not in page_of(evaluated)[1].text
    told = explain.run(recipe, evaluated, user="4", run=GATED, device="cpu")
    assert told.target is not None
    text = page_of(evaluated)[1].text
    assert f"user 4, {told.target.title} : P(yes)" in text
    assert told.behaviours[0].title in text
    [file] = evaluated.root.glob("datasets/*/runs/*/explained/*.json")
    foreign = json.loads(file.read_text())
    foreign["target"]["title"] = HOSTILE
    file.write_text(json.dumps(foreign))
    assert HOSTILE not in page_of(evaluated)[0]
    file.write_text("{")
    assert "Not read, and left out" in page_of(evaluated)[1].text


def test_an_explanation_is_given_where_none_can_be_kept(
    evaluated: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("reclora_cli.stages.kept_explanations.write_json", full_disk)
    recipe = runs.choose(evaluated, "ml-1m", GATED).recipe
    assert explain.run(recipe, evaluated, user="4", run=GATED, device="cpu").target is not None


def test_an_ablation_whose_run_was_made_anew_says_so(evaluated: Workspace) -> None:
    place = evaluated.dataset("ml-1m") / "ablations" / "table-3-tiny"
    ablation(place)
    artefact = runs.choose(evaluated, "ml-1m", GATED).artefact
    cell = {"label": "RecLoRA", "models": [artefact.name], "identities": [artefact.identity()]}
    told = json.loads((place / "result.json").read_text())
    (place / "result.json").write_text(json.dumps({**told, "cells": [cell]}))
    text = page_of(evaluated)[1].text
    assert "table-3-tiny" in text
    assert "Since removed or made anew" not in text
    file = artefact.path / "manifest.json"
    file.write_text(file.read_text() + "\n")
    assert "Since removed or made anew: RecLoRA" in page_of(evaluated)[1].text
