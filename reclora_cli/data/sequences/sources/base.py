"""What a published dataset of sequences is to reclora."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from reclora_cli.data.sequences.rows import Sequences
from reclora_cli.errors import MissingInputError
from reclora_cli.recipe.next_item import NextRecipe


@dataclass(frozen=True)
class SequenceSource:
    """One dataset of the catalogue's ``SEQUENCE_DATASETS``.

    Attributes:
        label: as people call it.
        files: what a file is called here -> paths, below the folder that is given, at which it
            may lie; the first that is there counts.
        where_from: how the files can be had, in a sentence or two.
        read: from those files, by name.
    """

    name: str
    label: str
    files: Mapping[str, tuple[str, ...]]
    where_from: str
    read: Callable[[Mapping[str, Path], NextRecipe], Sequences]

    def find_files(self, given: Path | None) -> dict[str, Path]:
        """Each file's path below ``given``.

        Raises:
            MissingInputError: nothing is given, or a file is not there; tells where to get it.
        """
        if given is None:
            raise MissingInputError(
                f"the files of {self.label} are not fetched: no terms of use are stated for them",
                hint=f"{self.where_from} Then: reclora prepare {self.name} --from FOLDER",
            )
        if not given.is_dir():
            raise MissingInputError("no such folder", where=str(given), hint="Check --from.")
        found: dict[str, Path] = {}
        for name, paths in self.files.items():
            there = [given / path for path in paths if (given / path).is_file()]
            if not there:
                looked = " nor as ".join(paths)
                raise MissingInputError(
                    f"the file {name} of {self.label} is not here, neither as {looked}",
                    where=str(given),
                    hint=self.where_from,
                )
            found[name] = there[0]
        return found
