"""``reclora serve`` under load, and killed in the middle of it.

    python -m tests.benchmarks.bench_serve --workspace WS --run RUN    # 50 clients, 60 s
    python -m tests.benchmarks.bench_serve --workspace WS --run RUN --kill-after 15
    python -m tests.benchmarks.bench_serve --workspace WS --run RUN --same  # mixed = single, fp32

Each client sends its next request when the last is answered; told 503 it waits as long as
``Retry-After`` says. Of ten requests eight are scores of one to four pairs, one a recommendation
among 16 candidates, one an explanation; users and items are drawn with ``--seed``.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from reclora_cli import device as devices
from reclora_cli import recipe as recipes
from reclora_cli.data.store import InteractionsStore
from reclora_cli.recipe import delta
from reclora_cli.serving import people
from reclora_cli.serving.batcher import Batcher
from reclora_cli.serving.counters import Counters
from reclora_cli.serving.explain import AskedExplanation
from reclora_cli.serving.limits import Limits
from reclora_cli.serving.model import ServedModel
from reclora_cli.serving.recommend import AskedRecommendation, Wish
from reclora_cli.serving.score import AskedScores, PairSaid
from reclora_cli.stages.opened_run import OpenedRun
from reclora_cli.workspace import Workspace

CANDIDATES = 16
_PATIENCE_S = 600

Request = tuple[str, dict[str, Any]]


@dataclass
class Seen:
    """What the clients met."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def answered(self, path: str, status: str, seconds: float) -> None:
        self.statuses[status] += 1
        if status == "200":
            self.seconds.setdefault(path, []).append(seconds)


def drawn(store: InteractionsStore, seed: int) -> Iterator[Request]:
    """Requests without end."""
    rng = np.random.default_rng(seed)
    users, items = store.users["user_id"].tolist(), store.items["item_id"].tolist()

    def user() -> Any:
        return users[int(rng.integers(len(users)))]

    def item() -> Any:
        return items[int(rng.integers(len(items)))]

    while True:
        kind = int(rng.integers(10))
        if kind == 0:
            yield "recommend", {"user": user(), "candidates": CANDIDATES, "top": 5}
        elif kind == 1:
            yield "explain", {"user": user(), "item": item()}
        else:
            count = int(rng.integers(1, 5))
            yield "score", {"pairs": [{"user": user(), "item": item()} for _ in range(count)]}


async def client(url: str, requests: Iterator[Request], until: float, seen: Seen) -> None:
    """One after the other, until ``until``; the last answer is waited for."""
    async with httpx.AsyncClient(base_url=url, timeout=_PATIENCE_S) as http:
        while time.monotonic() < until:
            path, body = next(requests)
            began = time.monotonic()
            try:
                done = await http.post(f"/v1/{path}", json=body)
            except httpx.HTTPError as error:
                seen.answered(path, type(error).__name__, 0.0)
                return
            seen.answered(path, str(done.status_code), time.monotonic() - began)
            if done.status_code == 503:
                pause = float(done.headers["Retry-After"])
                await asyncio.sleep(max(0.0, min(pause, until - time.monotonic())))


async def load(url: str, store: InteractionsStore, clients: int, seconds: float, seed: int) -> Seen:
    seen, until = Seen(), time.monotonic() + seconds
    await asyncio.gather(
        *(client(url, drawn(store, seed * 1000 + n), until, seen) for n in range(clients))
    )
    return seen


def started(arguments: argparse.Namespace) -> tuple[subprocess.Popen[str], str]:
    """A server of its own process, and its address."""
    command = [sys.executable, "-m", "reclora_cli", "serve", "--port", "0", "--json"]
    command += [
        "-w",
        str(arguments.workspace),
        "--run",
        arguments.run,
        "--device",
        arguments.device,
    ]
    process = subprocess.Popen(
        [*command, *arguments.options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    text = ""
    for line in process.stdout:
        text += line
        if line == "}\n":
            return process, json.loads(text)["url"]
    raise SystemExit(process.communicate()[1])


def hashes(root: Path) -> dict[str, str]:
    """Every file of a workspace by its SHA-256."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def under_load(arguments: argparse.Namespace, store: InteractionsStore) -> None:
    process, url = started(arguments)
    began = time.monotonic()
    seen = asyncio.run(load(url, store, arguments.clients, arguments.seconds, arguments.seed))
    took = time.monotonic() - began
    stats = httpx.get(f"{url}/v1/stats", timeout=_PATIENCE_S).json()
    process.terminate()
    _, err = process.communicate(timeout=_PATIENCE_S)
    tell(arguments, seen, stats, took)
    print(f"exit code {process.returncode}; {err.strip().splitlines()[-1]}")


def tell(arguments: argparse.Namespace, seen: Seen, stats: Any, took: float) -> None:
    batches = stats["batches"]
    print(
        f"{arguments.clients} clients, {arguments.seconds:g} s (the last answer after {took:.1f})"
    )
    print("answers:", ", ".join(f"{n} of {status}" for status, n in sorted(seen.statuses.items())))
    print("503s by reason:", stats["turned_away"] or "none")
    every = [one for found in seen.seconds.values() for one in found]
    for path, found in [("all", every), *sorted(seen.seconds.items())]:
        p50, p95 = np.percentile(found, [50, 95])
        print(f"{path:10} n {len(found):4}  p50 {p50:6.2f} s  p95 {p95:6.2f} s")
    print(
        f"{len(every) / took:.2f} requests/s, {batches['questions'] / took:.2f} questions/s; "
        f"{batches['n']} forward passes of {batches['mean_size']:.1f} questions, "
        f"{batches['largest']} at most, {batches['mixed']} mixed"
    )


def killed(arguments: argparse.Namespace, store: InteractionsStore) -> None:
    before = hashes(arguments.workspace)
    process, url = started(arguments)
    threading.Timer(arguments.kill_after, process.kill).start()
    seen = asyncio.run(load(url, store, arguments.clients, arguments.seconds, arguments.seed))
    process.communicate()
    same = hashes(arguments.workspace) == before
    print(
        f"kill -9 after {arguments.kill_after:g} s with {arguments.clients} clients: "
        f"{dict(seen.statuses)}; {len(before)} files, {'unchanged' if same else 'CHANGED'}"
    )
    if not same:
        raise SystemExit(1)


def same(arguments: argparse.Namespace) -> None:
    """Requests of all kinds at once against each alone, by the real LM in fp32."""
    workspace = Workspace(arguments.workspace)
    device = devices.pick(arguments.device)
    loaded = ServedModel.load(recipes.load("ml-1m"), workspace, device, run=arguments.run)
    exact = delta.changed(loaded.run.recipe, {"lm.precision": "fp32"})
    folder = loaded.run.artefact.path / "adapter"
    model = replace(loaded, opened=OpenedRun.load(exact, folder, device))
    requests = drawn(model.sources.store, arguments.seed)
    bodies = [next(requests) for _ in range(arguments.requests)]
    single = [probabilities(model, asked(model, one)) for one in bodies]
    counters = Counters()
    batcher = Batcher(model, Limits(queue=10_000, timeout_s=_PATIENCE_S), counters)
    jobs = [batcher.submit(asked(model, one)) for one in bodies]
    batcher.start()
    mixed = [flat(job.future.result()) for job in jobs]
    batcher.close()
    largest = max(float(np.abs(a - b).max()) for a, b in zip(single, mixed, strict=True))
    counted = counters.counts(0, 0).batches
    print(
        f"{len(bodies)} requests, {counted.questions} questions in {counted.n} forward passes of "
        f"{counted.mean_size} on average, {counted.mixed} mixed; largest difference of P(yes) from "
        f"each request alone: {largest:.2g}"
    )
    if largest > 1e-5:
        raise SystemExit(1)


def asked(model: ServedModel, request: Request) -> Any:
    path, body = request
    if path == "score":
        pairs = [PairSaid(str(one["user"]), str(one["item"])) for one in body["pairs"]]
        return AskedScores.known(model, pairs)
    whom = people.known(model, str(body["user"]))
    if path == "explain":
        return AskedExplanation.of_user(model, whom, str(body["item"]))
    return AskedRecommendation.of_user(model, whom, Wish(top=CANDIDATES, candidates=CANDIDATES))


def probabilities(model: ServedModel, one: Any) -> np.ndarray:
    return flat(one.result(model, model.answer(one.prompts(model))))


def flat(result: Any) -> np.ndarray:
    """P(yes) by item, so that equal ones need not stand in one order."""
    found = getattr(result, "scores", None) or getattr(result, "recommendations", None) or [result]
    return np.array([one.probability for one in sorted(found, key=lambda one: one.item)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--dataset", default="ml-1m")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kill-after", type=float)
    parser.add_argument("--same", action="store_true")
    parser.add_argument("--requests", type=int, default=50, help="of --same")
    parser.add_argument("options", nargs="*", help="of reclora serve, after --")
    arguments = parser.parse_args()
    store = InteractionsStore(Workspace(arguments.workspace).store(arguments.dataset).path)
    if arguments.same:
        same(arguments)
    elif arguments.kill_after:
        killed(arguments, store)
    else:
        under_load(arguments, store)


if __name__ == "__main__":
    main()
