"""The example of the layer in another project runs and shows what it says."""

from __future__ import annotations

import math
import runpy

from tests.conftest import CHECKOUT


def test_experts_with_a_gate_learn_what_one_lora_cannot() -> None:
    losses = runpy.run_path(str(CHECKOUT / "examples" / "meta_lora_elsewhere.py"))["main"]()
    coin_flip = math.log(2)
    assert losses.base > coin_flip - 0.05
    assert losses.plain_lora > coin_flip - 0.05
    assert losses.meta_lora < 0.4 * coin_flip
