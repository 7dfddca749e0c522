"""TLS certificates that do not hold: said what is wrong, and never gone past."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

import pytest

from reclora_cli.data.download.connection import UnreachableError
from reclora_cli.data.download.transfer import Checksum, fetch_file, fetch_text
from tests.unit.file_server import serving
from tests.unit.tls_certificates import Certificates, make_certificates

CONTENT = b"what was published"
RIGHT = Checksum("sha256", (hashlib.sha256(CONTENT).hexdigest(),))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    made = make_certificates(tmp_path_factory.mktemp("certificates"))
    if made is None:
        pytest.skip("the openssl command is not installed")
    return made


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")


def _refused(
    certificate: Path, trusted: Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> UnreachableError:
    """What is said of a server with ``certificate`` where ``trusted`` is the CA bundle."""
    if trusted is None:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    else:
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with serving(certificate) as server:
        server.files["/file.zip"] = CONTENT
        with pytest.raises(UnreachableError) as caught:
            fetch_file(f"{server.url}/file.zip", tmp_path / "file.zip", RIGHT)
    assert server.asked == []
    assert list(tmp_path.iterdir()) == []
    return caught.value


def test_good_certificate_lets_the_file_through(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.good))
    with serving(certificates.good) as server:
        server.files["/file.zip"] = CONTENT
        fetched = fetch_file(f"{server.url}/file.zip", tmp_path / "file.zip", RIGHT)
    assert fetched.read_bytes() == CONTENT


def test_expired_certificate(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = _refused(certificates.expired, certificates.expired, tmp_path, monkeypatch)
    assert error.what == "its TLS certificate has expired"
    assert f"this machine's clock (it says {date.today()})" in str(error.hint)


def test_certificate_that_is_not_valid_yet(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = _refused(certificates.not_yet, certificates.not_yet, tmp_path, monkeypatch)
    assert error.what == "its TLS certificate is not valid yet"


def test_certificate_of_another_host(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = _refused(certificates.other_host, certificates.other_host, tmp_path, monkeypatch)
    assert "is of another host" in error.what
    assert "'localhost'" in error.what


def test_self_signed_certificate(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = _refused(certificates.good, None, tmp_path, monkeypatch)
    assert "is self-signed" in error.what
    assert "SSL_CERT_FILE" in str(error.hint)


def test_certificate_of_an_unknown_authority(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = _refused(certificates.signed, None, tmp_path, monkeypatch)
    assert "an authority that is not trusted here" in error.what
    assert "SSL_CERT_FILE" in str(error.hint)


def test_checksum_page_behind_a_bad_certificate_is_not_read(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.expired))
    with serving(certificates.expired) as server:
        server.files["/file.zip.md5"] = b"d41d8cd98f00b204e9800998ecf8427e"
        with pytest.raises(UnreachableError, match="has expired"):
            fetch_text(f"{server.url}/file.zip.md5")
        assert server.asked == []


def test_connection_is_not_gone_on_with_when_the_certificate_lapses_meanwhile(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file.zip.part").write_bytes(CONTENT[:4])
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.expired))
    with serving(certificates.expired) as server:
        server.files["/file.zip"] = CONTENT
        with pytest.raises(UnreachableError, match="has expired"):
            fetch_file(f"{server.url}/file.zip", tmp_path / "file.zip", RIGHT)
    assert (tmp_path / "file.zip.part").read_bytes() == CONTENT[:4]


def test_redirect_out_of_tls_is_refused(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.good))
    with serving() as plain, serving(certificates.good) as server:
        plain.files["/file.zip"] = CONTENT
        server.redirects["/file.zip"] = f"{plain.url}/file.zip"
        with pytest.raises(UnreachableError, match="leads from https to http://"):
            fetch_file(f"{server.url}/file.zip", tmp_path / "file.zip", RIGHT)
    assert list(tmp_path.iterdir()) == []


def test_server_that_speaks_no_tls_is_unreachable(tmp_path: Path) -> None:
    with serving() as server:
        port = server.url.rpartition(":")[2]
        with pytest.raises(UnreachableError):
            fetch_file(f"https://localhost:{port}/file.zip", tmp_path / "file.zip", RIGHT)
