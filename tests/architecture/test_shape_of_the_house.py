"""What keeps the house in shape: names that resolve, recipes that load, no catch-all rooms."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from reclora_cli import catalog, recipe
from reclora_cli.data.sources.find import find_source
from reclora_cli.prompt.find import find_template
from reclora_cli.registry import Registry

PACKAGE = Path(recipe.__file__).parent.parent
REGISTRIES = [value for value in vars(catalog).values() if isinstance(value, Registry)]
DATASET_RECIPES = [
    *("base", "demo", "demo-ilora", "goodreads", "goodreads-children", "goodreads-comics-graphic"),
    *("goodreads-fantasy-paranormal", "goodreads-history-biography"),
    *("goodreads-mystery-thriller-crime", "goodreads-poetry", "goodreads-romance"),
    *("goodreads-young-adult", "lastfm", "ml-100k", "ml-100k-next", "ml-1m", "ml-1m-ctr-bert"),
    *("ml-1m-next", "ml-20m", "ml-25m", "ml-latest", "ml-latest-small", "next", "steam-next"),
]
EXAMPLES = ["book-crossing", "gift-cards", "goodbooks", "steam"]
METHODS = [
    "ilora",
    "ilora-hybrid",
    "llara",
    "lora",
    "lora-r128",
    "reclora",
    "rella",
    "tallrec",
    "zero-shot",
]
LLMS = ["gemma-3-1b", "qwen3-0.6b", "smollm2-360m", "vicuna-7b"]
PRESETS = ["ilora-paper", "paper"]
TABLES = [
    *("figure-4", "figure-5", "figure-6", "figure-alignment"),
    *("ilora", "ilora-experts", "ilora-gate", "ilora-projections"),
    *("table-1", "table-2", "table-3", "table-4"),
]


@pytest.mark.parametrize(
    ("registry", "name"),
    [(registry, name) for registry in REGISTRIES for name in registry],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
def test_every_name_in_the_catalogue_stands_for_something(registry: Registry, name: str) -> None:
    assert registry.load(name) is not None


def test_every_shipped_recipe_is_known_here() -> None:
    assert recipe.names() == DATASET_RECIPES
    assert recipe.names("methods") == METHODS
    assert recipe.names("examples") == EXAMPLES
    assert recipe.names("llms") == LLMS
    assert recipe.names("presets") == PRESETS
    assert recipe.names("tables") == TABLES
    shipped = sorted(path.stem for path in recipe.recipes_folder().rglob("*.yaml"))
    assert shipped == sorted(DATASET_RECIPES + METHODS + EXAMPLES + LLMS + PRESETS + TABLES)


@pytest.mark.parametrize("name", DATASET_RECIPES)
@pytest.mark.parametrize("method", [None, *METHODS])
def test_every_shipped_recipe_loads_under_every_method(name: str, method: str | None) -> None:
    loaded = recipe.load(name, method=method)
    assert loaded.data.source in {*catalog.DATASETS, *catalog.SEQUENCE_DATASETS}
    if loaded.task == recipe.load(name).task:  # The command line refuses others.
        known = catalog.SEQUENCE_ENCODERS if loaded.task == "next" else catalog.CRMS
        known.check(loaded.crm.model)
    assert recipe.from_tree(loaded.model_dump(mode="json")) == loaded


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_of_ones_own_data_loads(name: str) -> None:
    loaded = recipe.load(recipe.recipes_folder() / "examples" / f"{name}.yaml")
    assert find_source(loaded.data).name == name
    assert find_template(loaded.prompt).item
    assert recipe.from_tree(loaded.model_dump(mode="json")) == loaded


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "helpers", "misc", "common", "tools"}
    assert not [path for path in PACKAGE.rglob("*.py") if path.stem in empty]


def test_only_the_console_prints() -> None:
    printing = {
        path.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    }
    assert printing <= {"console.py"}


def test_help_imports_no_heavy_package() -> None:
    heavy = ["torch", "transformers", "pandas", "numpy", "peft", "sklearn", "pyarrow"]
    code = (
        "import sys\n"
        "from reclora_cli.cli.app import main\n"
        "sys.argv = ['reclora', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip().splitlines()[-1] == "[]"
