"""Settings of single CRMs: named as the model, checked, and deciding for that model only."""

from __future__ import annotations

import pytest

from reclora_cli import catalog, recipe
from reclora_cli.errors import UsageError
from reclora_cli.recipe import Recipe
from reclora_cli.recipe.section import Section
from reclora_cli.recipe.tree import CrmRecipe, section_name
from reclora_cli.stages import locate


def told(*overrides: str) -> Recipe:
    return recipe.load("ml-1m", overrides=list(overrides))


def sections() -> set[str]:
    crm = told().crm
    return {name for name in CrmRecipe.model_fields if isinstance(getattr(crm, name), Section)}


def test_every_section_is_named_as_a_model_of_the_catalogue() -> None:
    assert sections() == {"autoint", "caser", "ctr_bert", "dcnv2", "gru4rec", "sasrec"}
    assert sections() <= {section_name(model) for model in catalog.CRMS}


@pytest.mark.parametrize("name", list(catalog.CRMS))
def test_what_decides_a_model_is_its_own_section_and_what_all_read(name: str) -> None:
    deciding = told(f"crm.model={name}").crm.deciding()

    assert set(deciding) == set(CrmRecipe.model_fields) - (sections() - {section_name(name)})


@pytest.mark.parametrize("name", list(catalog.CRMS))
def test_what_decides_a_model_completes_to_the_same_model(name: str) -> None:
    own = told(f"crm.model={name}", "crm.gru4rec.width=32", "crm.dropout=0.3").crm

    completed = recipe.load("base").crm.completed(own.deciding())

    assert completed.deciding() == own.deciding()
    assert completed.gru4rec.width == (32 if name == "gru4rec" else 64)


def test_a_setting_of_another_model_trains_nothing_anew() -> None:
    def fingerprint(*overrides: str) -> str:
        return locate.fingerprint_of("pretrain-crm", told(*overrides))

    gru = "crm.model=gru4rec"
    assert fingerprint(gru) == fingerprint(gru, "crm.sasrec.layers=2")
    assert fingerprint(gru) != fingerprint(gru, "crm.gru4rec.layers=2")
    assert fingerprint(gru) != fingerprint(gru, "crm.dropout=0.0")
    assert fingerprint(gru) == fingerprint(gru, "crm.ctr_bert.tuned=all")
    bert = "crm.model=ctr-bert"
    assert fingerprint(bert) != fingerprint(bert, "crm.ctr_bert.tuned=all")
    assert fingerprint(bert) != fingerprint(bert, "prompt.template=plain")
    assert fingerprint(gru) == fingerprint(gru, "prompt.template=plain")


@pytest.mark.parametrize("model", ["autoint", "sasrec"])
def test_heads_that_do_not_divide_the_width_are_refused(model: str) -> None:
    with pytest.raises(UsageError, match=rf"crm\.{model}: width must be a multiple of heads, 3"):
        told(f"crm.{model}.heads=3")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("crm.gru4rec.layer=2", "Did you mean layers?"),
        ("crm.gru4re.layers=2", "Did you mean gru4rec?"),
        ("crm.caser.heights=[]", "at least 1 item"),
        ("crm.dcnv2.cross_layers=0", "greater than or equal to 1"),
        ("crm.dnn_layers=[]", "at least 1 item"),
        ("crm.attention_layers=[]", "at least 1 item"),
    ],
)
def test_a_wrong_key_or_value_of_a_section_is_named(override: str, said: str) -> None:
    with pytest.raises(UsageError, match="the recipe does not fit") as caught:
        told(override)

    assert said in caught.value.what
