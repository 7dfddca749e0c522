"""How often the interval of an ECE covers the true one, and how often percentiles would.

    python tests/benchmarks/ece_coverage.py [--trials 200] [--resamples 200]

P(yes) is drawn from Beta(3, 3) and likes by it, less a bias: the true ECE is then the bias, or 0.
"""

from __future__ import annotations

import argparse

import numpy as np

from reclora_cli.metrics.ece import ResampledEce, ece, ece_interval
from reclora_cli.metrics.intervals import bootstrap, interval


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=200)
    options.add_argument("--resamples", type=int, default=200)
    asked = options.parse_args()
    print("  rows  true ECE  mean estimate  percentiles  basic")
    for rows, bias in ((1_000, 0.0), (200, 0.0), (1_000, 0.05), (300, 0.05)):
        values, covered = [], np.zeros(2)
        for seed in range(asked.trials):
            draw = np.random.default_rng(seed)
            scores = draw.beta(3, 3, rows)
            labels = (draw.random(rows) < np.clip(scores - bias, 0, 1)).astype(int)
            statistic = ResampledEce(labels, scores)
            samples = bootstrap([statistic], rows, asked.resamples, draw)[:, 0]
            value = ece(labels, scores)
            assert value is not None
            values.append(value)
            intervals = interval(samples, 0.95), ece_interval(value, samples, 0.95)
            for at, found in enumerate(intervals):
                covered[at] += found is not None and found[0] <= bias <= found[1]
        shares = covered / asked.trials
        print(f"{rows:>6}{bias:>10.3f}{np.mean(values):>15.4f}{shares[0]:>13.1%}{shares[1]:>7.1%}")


if __name__ == "__main__":
    main()
