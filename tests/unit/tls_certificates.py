"""TLS certificates for tests, made by the ``openssl`` command."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CONFIG = """
[ca]
default_ca = authority
[authority]
dir = .
database = ./index.txt
serial = ./serial
new_certs_dir = .
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = name
prompt = no
[name]
CN = localhost
"""
_LONG_AGO, _FAR_OFF = "20190101000000Z", "21190101000000Z"


@dataclass(frozen=True)
class Certificates:
    """PEM files, each with its key.

    Attributes:
        expired: vouches for itself, as all do but the last; was good until 2020.
        not_yet: is good from 2118 on.
        good: for localhost, good until 2119.
        other_host: likewise, for another host.
        signed: for localhost, signed with ``good``.
    """

    expired: Path
    not_yet: Path
    good: Path
    other_host: Path
    signed: Path


def make_certificates(folder: Path) -> Certificates | None:
    """Make them in ``folder``; ``None`` where there is no ``openssl`` command."""
    if shutil.which("openssl") is None:
        return None
    (folder / "openssl.cnf").write_text(_CONFIG)
    (folder / "index.txt").touch()
    (folder / "serial").write_text("01\n")
    good = _make(folder, "good")
    return Certificates(
        expired=_make(folder, "expired", until="20200101000000Z"),
        not_yet=_make(folder, "not_yet", since="21180101000000Z"),
        good=good,
        other_host=_make(folder, "other_host", host="files.example"),
        signed=_make(folder, "signed", signer=good),
    )


def _make(
    folder: Path,
    name: str,
    *,
    host: str = "localhost",
    since: str = _LONG_AGO,
    until: str = _FAR_OFF,
    signer: Path | None = None,
) -> Path:
    pem = folder / f"{name}.pem"
    request = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    request += ["-keyout", f"{name}.key", "-out", f"{name}.csr", "-config", "openssl.cnf"]
    request += ["-addext", f"subjectAltName=DNS:{host}"]
    if signer is None:
        request += ["-addext", "basicConstraints=critical,CA:TRUE"]
        signing = ["-selfsign", "-keyfile", f"{name}.key"]
    else:
        signing = ["-keyfile", str(signer), "-cert", str(signer)]
    signature = ["ca", "-batch", "-config", "openssl.cnf", "-in", f"{name}.csr", "-notext"]
    signature += ["-out", f"{name}.crt", "-startdate", since, "-enddate", until, *signing]
    for command in (request, signature):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    pem.write_bytes((folder / f"{name}.key").read_bytes() + (folder / f"{name}.crt").read_bytes())
    return pem
