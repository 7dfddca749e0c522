"""Models of the Hugging Face hub: the local copy when there is one, else a quick, honest try."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reclora_cli.errors import MissingInputError, RecloraError
from reclora_cli.lm.quiet import quiet_transformers
from reclora_cli.progress import Progress

PROBE_SECONDS = 3.0
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_KEEP = ("*.json", "*.jinja", "*.model", "*.txt", "tokenizer*")


def snapshot(hub_id: str, progress: Progress) -> Path:
    """Folder with the files of ``hub_id`` (``owner/name``), fetched when it is not here yet.

    ``HF_HOME``, ``HF_HUB_OFFLINE``, ``HF_ENDPOINT`` and ``HF_TOKEN`` are respected.

    Raises:
        MissingInputError: it is not here, and the hub cannot be reached, or has no such model.
        RecloraError: the download fails.
    """
    local = _local(hub_id)
    if local is not None:
        return local
    _require_network(hub_id)
    progress.say(f"{hub_id}: fetching from the hub")
    return _download(hub_id)


def reachable(seconds: float = PROBE_SECONDS) -> bool:
    """Whether the hub (or the proxy on the way to it) accepts a connection within ``seconds``.

    A name look-up has no timeout of its own, so the attempt runs in a thread that may be left.
    """
    answered: list[bool] = []

    def connect() -> None:
        try:
            socket.create_connection(_hub_address(), timeout=seconds).close()
            answered.append(True)
        except OSError:
            answered.append(False)

    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(seconds)
    return answered == [True]


def endpoint() -> str:
    """Address of the hub: ``HF_ENDPOINT``, else the public one."""
    return os.environ.get("HF_ENDPOINT") or "https://huggingface.co"


def _hub_address() -> tuple[str, int]:
    proxy = next((os.environ[name] for name in _PROXIES if os.environ.get(name)), None)
    url = proxy or endpoint()
    parts = urlsplit(url if "//" in url else f"//{url}")
    return parts.hostname or "huggingface.co", parts.port or (80 if parts.scheme == "http" else 443)


def _local(hub_id: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    for weights in ("*.safetensors", "*.bin"):
        try:
            folder = Path(
                snapshot_download(hub_id, local_files_only=True, allow_patterns=[*_KEEP, weights])
            )
        except LocalEntryNotFoundError:
            continue
        if any(folder.glob(weights)) and (folder / "config.json").is_file():
            return folder
    return None


def _require_network(hub_id: str) -> None:
    from huggingface_hub.constants import is_offline_mode

    hint = "Name a model folder, a .gguf file or a packaged model (smollm2-135m) with --llm."
    if is_offline_mode():
        raise MissingInputError(
            "the model is not in the local hub cache, and HF_HUB_OFFLINE is set",
            where=hub_id,
            hint=hint,
        )
    if not reachable():
        host, port = _hub_address()
        raise MissingInputError(
            f"the model is not in the local hub cache, and {host}:{port} cannot be reached",
            where=hub_id,
            hint=hint,
        )


def _download(hub_id: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    try:
        with quiet_transformers():
            files = HfApi().list_repo_files(hub_id)
            return Path(snapshot_download(hub_id, allow_patterns=[*_KEEP, _weights(files)]))
    except GatedRepoError:
        raise MissingInputError(
            "the hub gives this model only to those who accepted its terms",
            where=hub_id,
            hint=f"Accept them at https://huggingface.co/{hub_id} and set HF_TOKEN.",
        ) from None
    except RepositoryNotFoundError:
        raise MissingInputError(
            "the hub has no such model, or it is private",
            where=hub_id,
            hint="Private ones need HF_TOKEN.",
        ) from None
    except (HfHubHTTPError, OSError) as error:
        raise RecloraError(
            f"fetching from the hub failed: {_first_line(error)}",
            where=hub_id,
            hint="Repeat the command: what has been fetched is kept.",
        ) from error


def _weights(files: list[str]) -> str:
    return "*.safetensors" if any(file.endswith(".safetensors") for file in files) else "*.bin"


def _first_line(error: Any) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
