"""A GGUF file as an ordinary model folder: converted once, then loaded like any other."""

from __future__ import annotations

from contextlib import redirect_stderr
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, cast

from filelock import FileLock

from reclora_cli.errors import CheckError, RecloraError
from reclora_cli.lm.quiet import quiet_transformers
from reclora_cli.progress import Progress
from reclora_cli.workspace import atomic_folder, cache_folder, explain_os_errors, hash_file

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_LARGEST_FLOAT32 = 1_000_000_000
"""Models with more parameters are kept in bfloat16: a 7B model takes 28 GB in float32."""


def converted(file: Path, progress: Progress) -> Path:
    """Folder in the cache with the model of the GGUF ``file``, keyed by the file's SHA-256.

    Raises:
        RecloraError: the file is not a GGUF that transformers can read.
    """
    state = file.stat()
    content = _content_hash(file.resolve(), state.st_size, state.st_mtime_ns)
    folder = cache_folder() / "lm" / f"{file.stem}-{content[:12]}"
    if folder.is_dir():
        return folder
    with explain_os_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not folder.is_dir():
                progress.say(f"converting {file.name} once, into {folder}")
                with atomic_folder(folder) as temporary:
                    convert(file, temporary)
    return folder


@lru_cache(maxsize=8)
def _content_hash(file: Path, _size: int, _modified: int) -> str:
    """SHA-256 of a file; read once as long as its size and time stay the same."""
    return hash_file(file)


def convert(file: Path, folder: Path) -> None:
    """Write the model and tokenizer of ``file`` into ``folder`` as safetensors, float32.

    transformers refuses to save a model loaded from GGUF, so its weights are moved into one made
    from its config. Models beyond a billion parameters are written in bfloat16.

    Raises:
        RecloraError: the file cannot be read.
        CheckError: what was written differs from what was read.
    """
    from transformers import AutoModelForCausalLM

    with quiet_transformers():
        # The reader draws a bar of its own, past transformers' switch.
        with redirect_stderr(StringIO()):
            source, tokenizer = _read(file)
        plain = _unquantised_copy(source)
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        written = AutoModelForCausalLM.from_pretrained(folder, dtype=plain.dtype)
    _check_equal(plain, written, file)


def _read(file: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    place, name = file.parent, file.name
    try:
        config = AutoConfig.from_pretrained(place, gguf_file=name)
        dtype = torch.float32 if _parameters(config) <= _LARGEST_FLOAT32 else torch.bfloat16
        model = AutoModelForCausalLM.from_pretrained(place, gguf_file=name, dtype=dtype)
        tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=name)
    except OSError:
        raise
    except Exception as error:  # the gguf reader and transformers raise many kinds
        raise RecloraError(
            f"cannot be read as a GGUF model ({type(error).__name__}: {error})",
            where=str(file),
            hint="Check that the file is whole, and that transformers knows its architecture.",
        ) from error
    return model, tokenizer


def _parameters(config: object) -> int:
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return int(AutoModelForCausalLM.from_config(config).num_parameters())


def _unquantised_copy(source: PreTrainedModel) -> PreTrainedModel:
    import torch

    config = type(source.config)(**{**source.config.to_dict(), "quantization_config": None})
    del config.quantization_config
    with torch.device("meta"):
        plain = cast("PreTrainedModel", type(source)(config))
    plain.load_state_dict(source.state_dict(), assign=True)
    plain.tie_weights()
    return plain


def _check_equal(expected: torch.nn.Module, found: torch.nn.Module, file: Path) -> None:
    theirs = found.state_dict()
    for name, tensor in expected.state_dict().items():
        if name not in theirs or not tensor.equal(theirs[name]):
            raise CheckError(f"the converted weights differ at {name}", where=str(file))
