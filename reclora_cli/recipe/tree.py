"""The recipe as a typed tree. Defaults live in ``recipes/base.yaml``, and only there.

Each class is one room's settings. All are frozen and strict: an unknown key, a missing key or
a value of the wrong type is an error, and ``recipe.load`` reports all of them at once.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field

from reclora_cli.recipe.architectures import (
    AutoIntRecipe,
    CaserRecipe,
    CTRBERTRecipe,
    DCNv2Recipe,
    GRU4RecRecipe,
    SASRecRecipe,
)
from reclora_cli.recipe.next_item import NextRecipe
from reclora_cli.recipe.section import (
    Fraction,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Section,
)
from reclora_cli.recipe.tables import TablesRecipe, TextsRecipe

BehaviourPolicy = Literal["recent", "retrieved"]
PromptPolicy = Literal["recent", "retrieved", "mixed"]


class DataRecipe(Section):
    """What ``prepare`` makes of a source (method.md section 3)."""

    source: str = Field(
        description="a dataset of the catalogue, e.g. ml-1m; with tables, a name of your own"
    )
    like_from: float = Field(description="a rating at or above this is a like")
    core: NonNegativeInt = Field(
        description="interactions that every user and item must have (k-core); 0 keeps all"
    )
    warm_up: NonNegativeInt = Field(
        description="first interactions of each user that are history only, never a target"
    )
    split: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        description="train : valid : test, by global time"
    )
    ties: Literal["include", "exclude"] = Field(
        description="whether behaviours of the row's own second, before it in order, are history"
    )
    tables: TablesRecipe | None = Field(
        description="how your own files are read; null: source is a dataset of the catalogue"
    )


class LmRecipe(Section):
    """Which causal LM, and how it is loaded and spoken to."""

    name: str = Field(description="packaged name, hub id, model folder, or .gguf file")
    quantisation: Literal["none", "8bit", "4bit"] = Field(
        description="bitsandbytes quantisation of the frozen base"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        description="of the frozen base: auto is bf16 on GPUs that have it, fp32 elsewhere"
    )
    chat_template: Literal["auto", "off"] = Field(
        description="auto: one user turn in the tokenizer's chat template, if it has one"
    )
    yes: str = Field(description="the answer for a like; its first token is scored")
    no: str = Field(description="the answer for a dislike; its first token is scored")


class RetrieverRecipe(Section):
    """The long-short retriever: item vectors by an LM, PCA, cosine top-k in the user's past."""

    encoder: str = Field(description="'lm' for lm.name, or another model's name or path")
    pca: PositiveInt = Field(description="dimensions kept, or the most there are")
    long: PositiveInt = Field(description="behaviours ranked for each row; the CRM reads these")
    rows: Literal["all", "needed"] = Field(
        description="all: every row is ranked once; needed: stages rank the rows that they read"
    )


class CrmRecipe(Section):
    """The conventional recommendation model that guides the gate."""

    model: str = Field(description="name of a CRM in the catalogue")
    behaviours: Literal["auto", "recent", "retrieved"] = Field(
        description="auto: what the model is made for (SIM retrieved, DIN recent)"
    )
    history: NonNegativeInt = Field(description="behaviours read for each row")
    embedding: PositiveInt = Field(description="width of each field's embedding")
    attention_layers: tuple[PositiveInt, ...] = Field(
        description="hidden widths of target attention (DIN, SIM)", min_length=1
    )
    dnn_layers: tuple[PositiveInt, ...] = Field(
        description="hidden widths of the MLP", min_length=1
    )
    dropout: Fraction = Field(description="of the layers that the model drops out in")
    autoint: AutoIntRecipe
    caser: CaserRecipe
    ctr_bert: CTRBERTRecipe
    dcnv2: DCNv2Recipe
    gru4rec: GRU4RecRecipe
    sasrec: SASRecRecipe
    user_dropout: Fraction = Field(
        description="chance that a training row is read as if its user were unseen in training"
    )
    item_dropout: Fraction = Field(
        description="chance that a training row is read as if its target were unseen in training"
    )
    shots: NonNegativeInt = Field(
        description="training rows that are read, the first of one seeded sample; 0: all of them"
    )
    representation: Literal["final", "pre_mlp"] = Field(
        description="R_c: the MLP's last hidden layer (authors' code) or its input (Eq. 3, 12)"
    )
    learning_rate: PositiveFloat = Field(description="of AdamW")
    warm_up: Fraction = Field(description="share of the steps with rising learning rate")
    weight_decay: Annotated[float, Field(ge=0)] = Field(description="of AdamW, not of embeddings")
    embedding_decay: Annotated[float, Field(ge=0)] = Field(
        description="weight decay of the embedding tables; weight_decay is that of all else"
    )
    batch_size: PositiveInt = Field(description="rows per optimizer step")
    epochs: PositiveInt = Field(description="passes over the training rows, at most")
    evaluations_per_epoch: PositiveInt = Field(description="validation passes in each epoch")
    patience: PositiveInt = Field(description="validation passes without gain before stopping")
    stop_on: Literal["all", "seen", "unseen", "as-test"] = Field(
        description="whose validation AUC decides: all rows', seen or unseen users', or as-test: "
        "the mean of these two weighted by their shares of the test rows"
    )

    def deciding(self) -> dict[str, Any]:
        """What decides the model, as plain values: all but the sections of other models."""
        return self.model_dump(mode="json", exclude=set(self._sections_of_others(self.model)))

    def completed(self, deciding: dict[str, Any]) -> CrmRecipe:
        """The recipe that ``deciding`` was taken from; sections of other models are this one's.

        Raises:
            pydantic.ValidationError: ``deciding`` is not of a recipe.
        """
        others = self._sections_of_others(deciding["model"])
        return CrmRecipe.model_validate_json(json.dumps(others | deciding))

    def _sections_of_others(self, model: str) -> dict[str, Any]:
        return {
            name: value.model_dump(mode="json")
            for name, value in self
            if isinstance(value, Section) and name != section_name(model)
        }


def section_name(model: str) -> str:
    """The key of ``crm`` under which a model's own settings stand, if it has any."""
    return model.replace("-", "_")


class AdapterRecipe(Section):
    """What is trained inside the frozen LM."""

    kind: Literal["none", "lora", "meta"] = Field(
        description="none: the frozen LM; lora: one, through PEFT; meta: experts under a gate"
    )
    experts: PositiveInt = Field(description="K; 1 drops the gate")
    rank: PositiveInt = Field(description="r of each expert")
    alpha: PositiveFloat = Field(description="the update is scaled by alpha / rank")
    dropout: Fraction = Field(description="of what each expert reads")
    targets: tuple[str, ...] = Field(description="names of the projections to adapt", min_length=1)
    mixing: Literal["product", "weights", "full"] = Field(
        description="product: Eq. 11; weights: the authors' code; full: a predicted K x K core"
    )
    start: str | None = Field(
        description="folder of a PEFT LoRA that every expert starts as; null: from nothing"
    )


class GateRecipe(Section):
    """The soft router from R_c to the experts' weights (Eq. 13-14)."""

    input: Literal["row", "user", "shuffled", "random", "none"] = Field(
        description="row: R_c of user and target (the paper); user: of the user without a target; "
        "for ablations, shuffled: R_c of another row, random: noise, none: weights are 1 / K"
    )
    normalise: Literal["none", "standard"] = Field(
        description="none: R_c as it is (the paper); standard: each unit less its mean over the "
        "shots, divided by its spread over them"
    )
    start: Literal["auto", "random", "even", "crm"] = Field(
        description="random: as PyTorch starts linear layers; even: untrained, every row's "
        "weights are 1 / K; crm: half of the experts lean to rows that the CRM calls likely; "
        "auto: crm where it can be (normalise standard, norm after, R_c final), else random"
    )
    hidden: PositiveInt = Field(description="units between R_c and the experts")
    dropout: Fraction = Field(description="of the hidden units")
    temperature: PositiveFloat = Field(description="tau of the softmax")
    norm: Literal["after", "before"] = Field(
        description="LayerNorm after the first linear layer (Eq. 13) or before it (authors' code)"
    )
    scope: Literal["projection", "shared"] = Field(
        description="one gate per adapted projection, or one for the model"
    )


class PromptRecipe(Section):
    """The text a row becomes."""

    template: str = Field(description="name of a prompt template in the catalogue")
    behaviours: PromptPolicy = Field(
        description="the latest, those most like the target, or each shot as two prompts (ReLLa)"
    )
    history: NonNegativeInt = Field(description="behaviours written into the prompt")
    texts: TextsRecipe | None = Field(description="wordings in place of the template's")


class FinetuneRecipe(Section):
    """Few-shot tuning of the adapter; CRM and LM stay frozen."""

    shots: PositiveInt = Field(description="training rows sampled; smaller budgets are nested")
    epochs: PositiveInt = Field(description="passes over the shots")
    batch_size: PositiveInt = Field(description="rows per optimizer step")
    loss: Literal["tokens", "answers"] = Field(
        description="tokens: cross-entropy of the answer's tokens over the vocabulary (the "
        "papers); answers: of yes against no at the first of them, as scoring reads it"
    )
    learning_rate: PositiveFloat = Field(description="of AdamW, at its highest")
    gate_learning_rate: PositiveFloat | None = Field(
        description="learning rate of the gates; null: learning_rate"
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(description="of AdamW")
    warm_up: Fraction = Field(description="share of the steps with rising learning rate")
    schedule: Literal["linear", "cosine"] = Field(
        description="how the learning rate falls towards zero after the warm-up"
    )
    clip_norm: PositiveFloat = Field(description="gradient norm limit")
    micro_batch_tokens: PositiveInt | Literal["auto"] = Field(
        description="padded tokens in one forward pass; auto: as the memory plan says"
    )
    gradient_checkpointing: Literal["auto", "on", "off"] = Field(
        description="compute activations again in the backward pass; auto: only when one prompt "
        "would not fit otherwise"
    )
    memory_share: Annotated[float, Field(gt=0, le=1)] = Field(
        description="share of the device's free memory that the plan may take"
    )
    compile: bool = Field(description="torch.compile the LM: minutes at the start, faster steps")
    checkpoint_every: PositiveInt = Field(description="optimizer steps between checkpoints")


class EvaluateRecipe(Section):
    """What is scored, and how sure the figures are."""

    split: Literal["valid", "test"] = Field(description="whose rows are scored")
    rows: NonNegativeInt = Field(description="size of a seeded subset; 0 means every row")
    resamples: PositiveInt = Field(description="bootstrap resamples")
    confidence: Annotated[float, Field(gt=0, lt=1)] = Field(description="of the intervals")
    batch_tokens: PositiveInt = Field(description="prompt tokens in one scoring forward pass")


class TuneRecipe(Section):
    """``finetune --tune``: what is searched, and which validation rows decide."""

    rows: NonNegativeInt = Field(
        description="validation rows that score a trial, a seeded subset; 0 means every row"
    )
    decides: Literal["all", "seen", "unseen", "as-test"] = Field(
        description="whose AUC decides; see crm.stop_on"
    )
    passes_per_epoch: PositiveInt = Field(
        description="times in each epoch that the rows are scored; a trial may be pruned then"
    )
    grid: dict[str, tuple[Any, ...]] | None = Field(
        description="key of the recipe -> values to try; null: the paper's grid of the method"
    )


class Recipe(Section):
    """Everything that decides a result. Device, paths and verbosity are not here."""

    task: Literal["rate", "next"] = Field(
        description="rate: will this user like this item; next: which candidate comes next"
    )
    seed: NonNegativeInt = Field(description="of every random choice but candidates")
    data: DataRecipe
    next: NextRecipe
    lm: LmRecipe
    retriever: RetrieverRecipe
    crm: CrmRecipe
    prompt: PromptRecipe
    adapter: AdapterRecipe
    gate: GateRecipe
    finetune: FinetuneRecipe
    tune: TuneRecipe
    evaluate: EvaluateRecipe
