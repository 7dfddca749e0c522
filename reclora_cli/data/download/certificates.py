"""Why a TLS certificate was not accepted, in words, and what can be done.

A refused certificate stays refused: there is no option that goes on without one.
"""

from __future__ import annotations

import ssl
from datetime import date

_EXPIRED, _NOT_YET = 10, 9
_SELF_SIGNED = 18
_UNKNOWN = {2, 19, 20, 21}
_OTHER_HOST = {62, 64}
# OpenSSL's X509_V_ERR_* numbers.


def refused_certificate(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """The refusal that ``error`` goes back to, if it does."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def explain(refusal: ssl.SSLCertVerificationError) -> tuple[str, str]:
    """What is wrong with the certificate, and what the user can do."""
    code = refusal.verify_code
    if code in {_EXPIRED, _NOT_YET}:
        state = "has expired" if code == _EXPIRED else "is not valid yet"
        return (
            f"its TLS certificate {state}",
            f"Check this machine's clock (it says {date.today()}). If it is right, the server's "
            "owner must renew the certificate.",
        )
    if code in _OTHER_HOST:
        return (
            f"its TLS certificate is of another host ({refusal.verify_message})",
            "Something between here and the server answers in its place: a proxy, or a log-in "
            "page of the network.",
        )
    bundle = "If this network inspects TLS, name its CA bundle in SSL_CERT_FILE."
    if code == _SELF_SIGNED:
        return "its TLS certificate is self-signed: nobody vouches for it", bundle
    if code in _UNKNOWN:
        return "its TLS certificate is signed by an authority that is not trusted here", bundle
    return f"its TLS certificate cannot be verified ({refusal.verify_message})", bundle
