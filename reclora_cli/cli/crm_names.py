"""CRMs as options name them: ``din,sim`` or ``all``."""

from __future__ import annotations

from reclora_cli import catalog
from reclora_cli.errors import UsageError
from reclora_cli.registry import Registry

ALL = "all"


def chosen_crms(given: str | None, known: Registry = catalog.CRMS) -> list[str]:
    """The names of ``--model``, each once, in the order given; without any, none.

    ``all`` is the whole of ``known``.

    Raises:
        UsageError: an unknown name, or nothing between the commas.
    """
    if given is None:
        return []
    if means_all(given):
        return list(known)
    names = _split(given)
    if not names:
        raise UsageError("which model?", where="--model", hint=f"Known: {', '.join(known)}.")
    return [known.check(name, where="--model") for name in dict.fromkeys(names)]


def means_all(given: str | None) -> bool:
    """Whether ``--model`` says ``all``."""
    return _split(given or "") == [ALL]


def _split(given: str) -> list[str]:
    return [name.strip() for name in given.split(",") if name.strip()]
