"""Fingerprints of the task ``rate``: what was made before there was a task ``next`` is found again.

Each was computed by the code before that task (commit ad7fdd4).
"""

from __future__ import annotations

import pytest

from reclora_cli import recipe as recipes
from reclora_cli.stages import locate

BEFORE = {
    ("ml-1m", None, None, "prepare"): (
        "5ab67bc00cc5b35b3654a6324705c93944c457674ad4d2346523419805110899"
    ),
    ("ml-1m", None, None, "build-index"): (
        "ae8e7b79952aa8d996e2c13ad2ba634036b244bfa12992f37d2164f2bcbbde47"
    ),
    ("ml-1m", None, None, "pretrain-crm"): (
        "1e6c6a10a6d7558ad3ac96dcd526db47e219745379058360f85488d5e0aaa2a8"
    ),
    ("ml-1m", None, None, "finetune"): (
        "374b1ae113698bb2034d820b5c209a6ebb0a23643d65710c6ec8422e7f6b274c"
    ),
    ("ml-1m", "reclora", None, "finetune"): (
        "374b1ae113698bb2034d820b5c209a6ebb0a23643d65710c6ec8422e7f6b274c"
    ),
    ("ml-1m", "rella", None, "finetune"): (
        "bb821fbefabdab78b99ab5cf92f5d1005768aa86837d55f4f00dee9acdf2c17b"
    ),
    ("ml-1m", "tallrec", None, "finetune"): (
        "bbca280c3f40c08f80895722a1062a960a9b679b3db726ea340d0225f7233f8a"
    ),
    ("ml-1m", "lora", None, "finetune"): (
        "8705a3f564c97d51af76e52abc9b4e9470c1c558973b7be2e6188af5d6b4be29"
    ),
    ("ml-1m", "lora-r128", None, "finetune"): (
        "b4cc3dbf2fc2a625f914edc3ecaec837fdd9d05d755f19ff9cef0f441f87b1a0"
    ),
    ("ml-1m", "zero-shot", None, "finetune"): (
        "b00931b7b67f255ba008ecff3b629a818a813df0771697f065ca76b4e5dcf83b"
    ),
    ("ml-1m", None, "paper", "prepare"): (
        "5ab67bc00cc5b35b3654a6324705c93944c457674ad4d2346523419805110899"
    ),
    ("ml-1m", None, "paper", "build-index"): (
        "ae8e7b79952aa8d996e2c13ad2ba634036b244bfa12992f37d2164f2bcbbde47"
    ),
    ("ml-1m", None, "paper", "pretrain-crm"): (
        "1e6c6a10a6d7558ad3ac96dcd526db47e219745379058360f85488d5e0aaa2a8"
    ),
    ("ml-1m", None, "paper", "finetune"): (
        "6db50c8e69561d02dcf9e0853b753efafaf30e628c70d139ee510b147eb0d971"
    ),
    ("ml-1m", "rella", "paper", "finetune"): (
        "4eebedfdef136d1865ceb216cc1212b30150d982b32851f8dd629a85ed9b4365"
    ),
    ("ml-100k", None, None, "finetune"): (
        "735666a5ec61032ea7da2c20c33c969cc8571d061703f0f2ffcd271cfc4550f3"
    ),
    ("goodreads", None, None, "finetune"): (
        "7e124a2bd076862ac46e5181ede4426458c9bb957a17a90b07298b45cb1699aa"
    ),
}
"""(recipe, method, preset, stage) -> SHA-256 of what decides the stage's artefact."""


@pytest.mark.parametrize("case", BEFORE, ids=lambda case: "-".join(filter(None, case)))
def test_an_artefact_keeps_its_name(case: tuple[str, str | None, str | None, str]) -> None:
    name, method, preset, stage = case
    recipe = recipes.load(name, method=method, preset=preset)
    assert locate.fingerprint_of(stage, recipe) == BEFORE[case]


def test_another_schedule_is_another_run() -> None:
    cosine = recipes.load("ml-1m", overrides=["finetune.schedule=cosine"])
    assert locate.fingerprint_of("finetune", cosine) != BEFORE["ml-1m", None, None, "finetune"]


def test_the_tasks_of_one_dataset_share_no_artefact() -> None:
    rate, following = recipes.load("ml-1m"), recipes.load("ml-1m-next")
    assert rate.data.source == following.data.source
    for stage in ("prepare", "pretrain-crm", "finetune"):
        assert locate.fingerprint_of(stage, rate) != locate.fingerprint_of(stage, following)
