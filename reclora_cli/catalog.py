"""Every name a user can give, in one readable list.

Adding a dataset or a CRM is one file and one line here.
"""

from __future__ import annotations

from reclora_cli.registry import Registry

DATASETS = Registry(
    "dataset",
    {
        "goodreads": "reclora_cli.data.sources.goodreads:WHOLE",
        "goodreads-children": "reclora_cli.data.sources.goodreads:CHILDREN",
        "goodreads-comics-graphic": "reclora_cli.data.sources.goodreads:COMICS",
        "goodreads-fantasy-paranormal": "reclora_cli.data.sources.goodreads:FANTASY",
        "goodreads-history-biography": "reclora_cli.data.sources.goodreads:HISTORY",
        "goodreads-mystery-thriller-crime": "reclora_cli.data.sources.goodreads:MYSTERY",
        "goodreads-poetry": "reclora_cli.data.sources.goodreads:POETRY",
        "goodreads-romance": "reclora_cli.data.sources.goodreads:ROMANCE",
        "goodreads-young-adult": "reclora_cli.data.sources.goodreads:YOUNG_ADULT",
        "ml-100k": "reclora_cli.data.sources.ml_100k:SOURCE",
        "ml-1m": "reclora_cli.data.sources.ml_1m:SOURCE",
        "ml-20m": "reclora_cli.data.sources.movielens_csv:ML_20M",
        "ml-25m": "reclora_cli.data.sources.movielens_csv:ML_25M",
        "ml-latest": "reclora_cli.data.sources.movielens_csv:ML_LATEST",
        "ml-latest-small": "reclora_cli.data.sources.movielens_csv:ML_LATEST_SMALL",
    },
)

SEQUENCE_DATASETS = Registry(
    "sequence dataset",
    {
        "lastfm": "reclora_cli.data.sequences.sources.llara:LASTFM",
        "ml-100k-next": "reclora_cli.data.sequences.sources.llara_movielens:SOURCE",
        "steam-next": "reclora_cli.data.sequences.sources.llara:STEAM",
    },
)
"""Datasets that are published as sequences, for the task ``next``; it takes ``DATASETS`` too."""

CRMS = Registry(
    "CRM",
    {
        "autoint": "reclora_cli.crm.autoint:AutoInt",
        "caser": "reclora_cli.crm.caser:Caser",
        "ctr-bert": "reclora_cli.crm.ctr_bert:CTRBERT",
        "dcnv2": "reclora_cli.crm.dcnv2:DCNv2",
        "deepfm": "reclora_cli.crm.deepfm:DeepFM",
        "din": "reclora_cli.crm.din:DIN",
        "gru4rec": "reclora_cli.crm.gru4rec:GRU4Rec",
        "sasrec": "reclora_cli.crm.sasrec:SASRec",
        "sim": "reclora_cli.crm.sim:SIM",
    },
)

SEQUENCE_ENCODERS = Registry(
    "sequence encoder",
    {
        "caser": "reclora_cli.crm.sequence.caser:CaserEncoder",
        "gru4rec": "reclora_cli.crm.sequence.gru4rec:Gru4RecEncoder",
        "sasrec": "reclora_cli.crm.sequence.sasrec:SasrecEncoder",
    },
)
"""What ``crm.model`` may name under the task ``next``."""

RETRIEVING_CRMS = frozenset({"sim"})
"""CRMs made for behaviours retrieved for the target; the others read recent ones."""

TEXT_CRMS = frozenset({"ctr-bert"})
"""CRMs that read texts through an encoder; the others read ids."""

PACKAGED_LMS = Registry(
    "packaged LM",
    {
        "all-minilm-l6-v2": "reclora_cli.lm.packaged:ALL_MINILM_L6_V2",
        "smollm2-135m": "reclora_cli.lm.packaged:SMOLLM2_135M",
    },
)

PROMPT_TEMPLATES = Registry(
    "prompt template",
    {
        "books": "reclora_cli.prompt.books:BOOKS",
        "movies": "reclora_cli.prompt.movies:MOVIES",
        "movies-profile": "reclora_cli.prompt.movies:MOVIES_WITH_PROFILE",
        "plain": "reclora_cli.prompt.plain:PLAIN",
    },
)

NEXT_TEMPLATES = Registry(
    "template of the task next",
    {
        "artists": "reclora_cli.prompt.next_wordings:ARTISTS",
        "books": "reclora_cli.prompt.next_wordings:BOOKS",
        "films": "reclora_cli.prompt.next_wordings:FILMS",
        "games": "reclora_cli.prompt.next_wordings:GAMES",
        "items": "reclora_cli.prompt.next_wordings:ITEMS",
    },
)
"""What ``next.prompt.template`` may name."""

VARIANTS = Registry(
    "variant",
    {
        "without-meta-lora": "reclora_cli.variants.without_meta_lora:VARIANT",
        "same-param": "reclora_cli.variants.same_param:VARIANT",
        "without-long-retriever": "reclora_cli.variants.without_long_retriever:VARIANT",
        "without-short-retriever": "reclora_cli.variants.without_short_retriever:VARIANT",
        "without-retrievers": "reclora_cli.variants.without_retrievers:VARIANT",
        "uniform-gate": "reclora_cli.variants.uniform_gate:VARIANT",
        "shuffled-crm": "reclora_cli.variants.shuffled_crm:VARIANT",
        "random-crm": "reclora_cli.variants.random_crm:VARIANT",
        "weights-mixing": "reclora_cli.variants.weights_mixing:VARIANT",
        "full-mixing": "reclora_cli.variants.full_mixing:VARIANT",
        "shared-gate": "reclora_cli.variants.shared_gate:VARIANT",
        "user-gate": "reclora_cli.variants.user_gate:VARIANT",
        "pre-mlp": "reclora_cli.variants.pre_mlp:VARIANT",
        "crm-on-shots": "reclora_cli.variants.crm_on_shots:VARIANT",
        "guide-autoint": "reclora_cli.variants.guides:AUTOINT",
        "guide-caser": "reclora_cli.variants.guides:CASER",
        "guide-ctr-bert": "reclora_cli.variants.guides:CTR_BERT",
        "guide-dcnv2": "reclora_cli.variants.guides:DCNV2",
        "guide-deepfm": "reclora_cli.variants.guides:DEEPFM",
        "guide-din": "reclora_cli.variants.guides:DIN",
        "guide-gru4rec": "reclora_cli.variants.guides:GRU4REC",
        "guide-sasrec": "reclora_cli.variants.guides:SASREC",
        "guide-sim": "reclora_cli.variants.guides:SIM",
    },
)
"""Changes of a method, for ``reclora ablate``; in the order of tables."""

NEXT_VARIANTS = frozenset(
    {
        *("uniform-gate", "shuffled-crm", "random-crm", "weights-mixing", "full-mixing"),
        *("guide-caser", "guide-gru4rec"),
    }
)
"""Variants that change something of iLoRA; the others are of what the task ``rate`` alone has."""

STAGES = Registry(
    "stage",
    {
        "prepare": "reclora_cli.stages.by_task:prepare",
        "build-index": "reclora_cli.stages.build_index:run",
        "pretrain-crm": "reclora_cli.stages.by_task:pretrain_crm",
        "finetune": "reclora_cli.stages.finetune:run",
        "reproduce": "reclora_cli.stages.reproduce:run",
        "tune-lm": "reclora_cli.stages.tune_lm:run",
        "evaluate": "reclora_cli.stages.evaluate:run",
        "evaluate-next": "reclora_cli.stages.evaluate_next:run",
        "explain": "reclora_cli.stages.explain:run",
        "explain-experts": "reclora_cli.stages.explaining.experts:run",
        "explain-what-if": "reclora_cli.stages.explaining.what_if:run",
        "explain-next": "reclora_cli.stages.explain_next:run",
        "export": "reclora_cli.stages.export:run",
        "recommend": "reclora_cli.stages.recommend:run",
        "predict": "reclora_cli.stages.predict:run",
    },
)
