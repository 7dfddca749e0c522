"""A dataset that changes over time, on a local server as GroupLens publishes ml-latest."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import replace

from reclora_cli.data.sources import ml_1m
from reclora_cli.data.sources.base import Source, ZipAddress
from tests.unit.file_server import FileServer

FILES = {"ratings.csv": b"userId,movieId\n1,2\n" * 99, "movies.csv": b"movieId,title\n2,Heat\n"}


class Person:
    """Answers questions, and remembers them."""

    def __init__(self, answer: bool = True) -> None:
        self.answer = answer
        self.questions: list[str] = []

    def __call__(self, question: str) -> bool:
        self.questions.append(question)
        return self.answer


def packed(files: dict[str, bytes]) -> bytes:
    """The archive that holds ``files``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"ml-latest/{name}", content)
    return buffer.getvalue()


def publish(server: FileServer, files: dict[str, bytes]) -> None:
    """Let ``server`` have the archive, and its MD5 beside it."""
    content = packed(files)
    server.files["/ml-latest.zip"] = content
    digest = hashlib.md5(content).hexdigest()
    server.files["/ml-latest.zip.md5"] = f"MD5 (ml-latest.zip) = {digest}\n".encode()


def latest(server: FileServer) -> Source:
    """The source at that address; no hash is pinned."""
    return replace(
        ml_1m.SOURCE,
        name="ml-latest",
        label="MovieLens Latest",
        files=dict.fromkeys(FILES, ()),
        addresses=(ZipAddress(f"{server.url}/ml-latest.zip"),),
    )
