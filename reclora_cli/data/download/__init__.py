"""A source's genuine files: from what the user gives, the cache, or the network."""

from reclora_cli.data.download.kept import downloads_folder, known_hash
from reclora_cli.data.download.originals import fetch
from reclora_cli.data.download.terms import Confirm

__all__ = ["Confirm", "downloads_folder", "fetch", "known_hash"]
