"""Every name a user can give, in one readable list.

Adding a dataset or a CRM is one file and one line here.
"""

from __future__ import annotations

from reclora_cli.registry import Registry

DATASETS = Registry(
    "dataset",
    {
        "ml-100k": "reclora_cli.data.sources.ml_100k:SOURCE",
        "ml-1m": "reclora_cli.data.sources.ml_1m:SOURCE",
    },
)

CRMS = Registry(
    "CRM",
    {
        "din": "reclora_cli.crm.din:DIN",
        "sim": "reclora_cli.crm.sim:SIM",
    },
)

RETRIEVING_CRMS = frozenset({"sim"})
"""CRMs made for behaviours retrieved for the target; the others read recent ones."""

PACKAGED_LMS = Registry(
    "packaged LM",
    {
        "smollm2-135m": "reclora_cli.lm.packaged:SMOLLM2_135M",
    },
)

PROMPT_TEMPLATES = Registry(
    "prompt template",
    {
        "movies-profile": "reclora_cli.prompt.movies:MOVIES_WITH_PROFILE",
    },
)

STAGES = Registry(
    "stage",
    {
        "prepare": "reclora_cli.stages.prepare:run",
        "build-index": "reclora_cli.stages.build_index:run",
        "pretrain-crm": "reclora_cli.stages.pretrain_crm:run",
        "finetune": "reclora_cli.stages.finetune:run",
        "evaluate": "reclora_cli.stages.evaluate:run",
        "explain": "reclora_cli.stages.explain:run",
    },
)
