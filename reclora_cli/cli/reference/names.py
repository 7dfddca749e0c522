"""Every name that an option or a key takes, from the catalogue and the shipped recipes."""

from __future__ import annotations

from reclora_cli import catalog, recipe
from reclora_cli.cli.reference import markdown
from reclora_cli.recipe.about import about
from reclora_cli.recipe.experiment import experiment_names, load_experiment
from reclora_cli.registry import Registry

_DATASETS = "[datasets.md](../datasets.md)"


def page() -> str:
    """The page of all names."""
    return markdown.page(
        "Names",
        _registry(
            "Datasets",
            catalog.DATASETS,
            "`reclora prepare NAME`; see [datasets.md](../datasets.md).",
        ),
        _registry(
            "Datasets of sequences", catalog.SEQUENCE_DATASETS, "Likewise, of the task `next`."
        ),
        _recipes("Recipes", "", "`--recipe NAME`."),
        _registry("CRMs", catalog.CRMS, "`--model NAME` or `crm.model`."),
        _registry(
            "Sequence encoders", catalog.SEQUENCE_ENCODERS, "`crm.model` of the task `next`."
        ),
        _recipes("Methods", "methods", "`--method NAME`."),
        _packaged(),
        _recipes("Shipped settings of LLMs", "llms", "`--llm NAME`."),
        _recipes("Presets", "presets", "`--preset NAME`."),
        _experiments(),
        _variants(),
        _registry("Templates", catalog.PROMPT_TEMPLATES, "`prompt.template`."),
        _registry("Families of wordings", catalog.NEXT_TEMPLATES, "`next.prompt.template`."),
    )


def _registry(title: str, known: Registry, how: str) -> str:
    rows = [(f"`{name}`", _told(known.load(name))) for name in known]
    if not any(told for _, told in rows):
        return f"## {title}\n\n{how} " + ", ".join(name for name, _ in rows) + "."
    return f"## {title}\n\n{how}\n\n" + markdown.table(("name", "what"), rows)


def _told(found: object) -> str:
    """What a thing of the catalogue is: its title, or a class's or a module's first line."""
    title = getattr(found, "title", None)
    if isinstance(title, str):
        return title
    return markdown.paragraph(found) if isinstance(found, type) else ""


def _recipes(title: str, kind: str, how: str) -> str:
    rows = [(f"`{name}`", about(name, kind)) for name in recipe.names(kind)]
    return f"## {title}\n\n{how}\n\n" + markdown.table(("name", "what"), rows)


def _packaged() -> str:
    found = [catalog.PACKAGED_LMS.load(name) for name in catalog.PACKAGED_LMS]
    rows = [
        (f"`{one.name}`", f"`{one.requirement}`", f"{one.megabytes} MB", one.licence)
        for one in found
    ]
    head = ("name", "from the package index", "size", "licence")
    return "## Packaged LMs\n\n`--llm NAME` or `lm.name`.\n\n" + markdown.table(head, rows)


def _experiments() -> str:
    rows = [(f"`{name}`", load_experiment(name).title) for name in experiment_names()]
    how = "`reclora ablate --table 3`, `--figure 6`, `--table ilora`."
    return f"## Tables and figures\n\n{how}\n\n" + markdown.table(("name", "what"), rows)


def _variants() -> str:
    rows = [
        (f"`{name}`", catalog.VARIANTS.load(name).asks, "yes" * (name in catalog.NEXT_VARIANTS))
        for name in catalog.VARIANTS
    ]
    head = ("name", "the question it answers", "of iLoRA too")
    return "## Variants\n\n`reclora ablate --variants NAME[,NAME]`.\n\n" + markdown.table(
        head, rows
    )
