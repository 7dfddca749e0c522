"""Every figure of ``evaluate`` at the size of ML-1M's test split: what each part takes.

    python tests/benchmarks/bench_metrics.py [--rows 97002] [--users 1783] [--resamples 1000]

Labels and scores are drawn, not read: what metrics take does not depend on whose scores they are.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from reclora_cli.metrics.calibration import calibration_curve
from reclora_cli.metrics.compare import Comparison


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=97_002)
    options.add_argument("--users", type=int, default=1_783)
    options.add_argument("--resamples", type=int, default=1_000)
    options.add_argument("--models", type=int, default=2)
    asked = options.parse_args()
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, asked.rows)
    scores = [
        np.clip(0.25 * labels + 0.75 * draw.random(asked.rows), 0, 1) for _ in range(asked.models)
    ]
    users = draw.integers(0, asked.users, asked.rows)
    seconds: dict[str, float] = {}

    def timed(name: str, part: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        found = part()
        seconds[name] = time.perf_counter() - start
        return found

    # As `evaluate` does: all rows, and those of seen and of unseen users, each resampled.
    seen = users < 0.8 * asked.users
    for name, of in {"all rows": seen | True, "seen users": seen, "unseen users": ~seen}.items():
        compared = timed(
            f"resamples, {name}",
            lambda of=of: Comparison(
                labels[of],
                [values[of] for values in scores],
                resamples=asked.resamples,
                confidence=0.95,
                stream=np.random.default_rng(1),
                users=users[of],
            ),
        )
        timed(
            f"figures, {name}",
            lambda compared=compared: [compared.figures(at) for at in range(asked.models)],
        )
        if name == "all rows":
            timed(
                "paired differences",
                lambda compared=compared: [
                    (compared.auc_difference(at, 0), compared.log_loss_difference(at, 0))
                    for at in range(1, asked.models)
                ],
            )
    timed(
        "calibration curves", lambda: [calibration_curve(labels, values, 0.95) for values in scores]
    )
    print(f"{asked.rows:,} rows, {asked.models} models, {asked.resamples:,} resamples")
    for name, took in seconds.items():
        print(f"{name:<28}{took:8.2f} s")
    print(f"{'all':<28}{sum(seconds.values()):8.2f} s")


if __name__ == "__main__":
    main()
