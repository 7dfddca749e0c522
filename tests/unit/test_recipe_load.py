"""Recipes: every shipped one loads, deltas are laid over, and all errors are told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from reclora_cli import catalog, recipe
from reclora_cli.errors import MissingInputError, UsageError
from reclora_cli.recipe import Recipe, delta

SHIPPED = sorted(recipe.recipes_folder().rglob("*.yaml"))


def names_of_kind(kind: str) -> list[str]:
    return sorted(path.stem for path in SHIPPED if path.parent.name == kind)


def problems(error: pytest.ExceptionInfo[UsageError]) -> list[str]:
    return [line.strip() for line in error.value.what.splitlines()[1:]]


def written(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# -- what is shipped ----------------------------------------------------------------------------


def test_every_shipped_recipe_is_listed_by_name():
    assert sorted(recipe.names()) == names_of_kind("recipes")
    assert sorted(recipe.names("methods")) == names_of_kind("methods")
    assert {"base", "ml-1m", "ml-100k"} <= set(recipe.names())
    assert set(recipe.names("methods")) >= {"lora", "reclora", "rella", "tallrec", "zero-shot"}


@pytest.mark.parametrize("name", recipe.names())
@pytest.mark.parametrize("method", [None, *recipe.names("methods")])
def test_every_shipped_recipe_loads_under_every_method(name: str, method: str | None):
    assert isinstance(recipe.load(name, method=method), Recipe)


@pytest.mark.parametrize(
    ("method", "adapter", "behaviours"),
    [
        ("reclora", "meta", "retrieved"),
        ("rella", "lora", "mixed"),
        ("tallrec", "lora", "recent"),
        ("lora", "lora", "retrieved"),
        ("lora-r128", "lora", "retrieved"),
        ("zero-shot", "none", "retrieved"),
    ],
)
def test_a_method_is_an_adapter_and_a_choice_of_behaviours(method, adapter, behaviours):
    loaded = recipe.load("ml-1m", method=method)
    assert (loaded.adapter.kind, loaded.prompt.behaviours) == (adapter, behaviours)


def test_a_method_changes_nothing_else():
    plain, lora = recipe.load("ml-1m"), recipe.load("ml-1m", method="lora")
    changed = recipe.differences(plain.model_dump(), lora.model_dump())
    assert changed == ["adapter.kind: meta -> lora"]


def test_the_defaults_are_the_papers():
    loaded = recipe.load("ml-1m")
    assert (loaded.data.warm_up, loaded.data.split, loaded.data.like_from) == (5, (8, 1, 1), 4.0)
    assert (loaded.retriever.long, loaded.prompt.history) == (60, 10)
    assert (loaded.adapter.experts, loaded.adapter.rank, loaded.adapter.alpha) == (16, 8, 16.0)
    assert (loaded.adapter.targets, loaded.adapter.mixing) == (("q_proj", "v_proj"), "product")


# -- what is laid over --------------------------------------------------------------------------


def test_extends_a_shipped_recipe_says_only_what_differs(tmp_path: Path):
    mine = recipe.load(written(tmp_path, "extends: ml-100k\ngate: {temperature: 5.0}\n"))
    base = recipe.load("ml-100k")
    changed = recipe.differences(base.model_dump(), mine.model_dump())
    assert changed == ["gate.temperature: 1.0 -> 5.0"]


def test_extends_prefers_the_neighbouring_file(tmp_path: Path):
    written(tmp_path, "extends: ml-1m\nseed: 7\n", "ml-100k.yaml")
    mine = recipe.load(written(tmp_path, "extends: ml-100k\n"))
    assert (mine.seed, mine.data.source) == (7, "ml-1m")


def test_flags_win_over_set_which_wins_over_the_method_and_the_file(tmp_path: Path):
    path = written(tmp_path, "extends: base\nadapter: {kind: none, rank: 2, experts: 2}\n")
    loaded = recipe.load(
        path,
        method="lora",
        overrides=["adapter.rank=4", "adapter.experts=4"],
        values={"adapter.experts": 8},
    )
    assert loaded.adapter.kind == "lora"
    assert (loaded.adapter.rank, loaded.adapter.experts) == (4, 8)


def test_a_flag_that_was_not_given_changes_nothing():
    assert recipe.load("ml-1m", values={"adapter.experts": None}) == recipe.load("ml-1m")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("finetune.learning_rate=5e-4", lambda r: r.finetune.learning_rate == 5e-4),
        ("lm.yes=yes", lambda r: r.lm.yes == "yes"),
        ("crm.dnn_layers=[64, 32]", lambda r: r.crm.dnn_layers == (64, 32)),
        ("adapter={experts: 4}", lambda r: r.adapter.experts == 4 and r.adapter.rank == 8),
        (" gate.temperature = 5.0", lambda r: r.gate.temperature == 5.0),
        ("lm.name=org/model=v2", lambda r: r.lm.name == "org/model=v2"),
        ("gate.temperature=5", lambda r: r.gate.temperature == 5.0),
    ],
)
def test_set_takes_yaml_values(text, read):
    assert read(recipe.load("ml-1m", overrides=[text]))


# -- what does not fit --------------------------------------------------------------------------


def test_every_wrong_key_and_value_is_named_in_one_error(tmp_path: Path):
    text = "extends: base\ngate: {temperatur: 5.0}\nadapter: {experts: 0, kind: lo}\nfinetun: {}\n"
    with pytest.raises(UsageError) as caught:
        recipe.load(written(tmp_path, text), overrides=["crm.epochs=many"])
    places = {problem.split(":")[0] for problem in problems(caught)}
    assert places == {
        "gate.temperatur",
        "adapter.experts",
        "adapter.kind",
        "finetun",
        "crm.epochs",
    }
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("override", "suggestion"),
    [
        ("gate.temperatur=5", "Did you mean temperature?"),
        ("finetun.shots=5", "Did you mean finetune?"),
        ("adapter.expert=4", "Did you mean experts?"),
    ],
)
def test_an_unknown_key_gets_the_nearest_of_its_section(override: str, suggestion: str):
    with pytest.raises(UsageError) as caught:
        recipe.load("ml-1m", overrides=[override])
    assert suggestion in problems(caught)[0]


def test_an_unknown_key_far_from_all_others_gets_the_list():
    with pytest.raises(UsageError) as caught:
        recipe.load("ml-1m", overrides=["gate.zzz=1"])
    assert (
        "Known: dropout, hidden, input, norm, normalise, scope, start, temperature."
        in problems(caught)[0]
    )


def test_a_missing_key_is_said_to_be_missing(tmp_path: Path):
    with pytest.raises(UsageError) as caught:
        recipe.load(written(tmp_path, "seed: 1\n"))
    assert "data: missing" in problems(caught)


@pytest.mark.parametrize("value", ["'16'", "16.5", "true", "0", "-1", "null", "[16]"])
def test_a_value_of_another_type_or_range_is_refused(value: str):
    with pytest.raises(UsageError, match=r"adapter\.experts"):
        recipe.load("ml-1m", overrides=[f"adapter.experts={value}"])


@pytest.mark.parametrize("text", ["adapter.experts", "=4", "  =4"])
def test_set_without_key_or_value_is_a_usage_error(text: str):
    with pytest.raises(UsageError, match=r"section\.key=value") as caught:
        recipe.load("ml-1m", overrides=[text])
    assert caught.value.where == "--set"


def test_set_with_broken_yaml_is_a_usage_error():
    with pytest.raises(UsageError, match="not valid YAML"):
        recipe.load("ml-1m", overrides=["crm.dnn_layers=[64"])


@pytest.mark.parametrize("text", ["adapter: [", "a: b: c"])
def test_a_file_that_is_not_yaml_is_named(tmp_path: Path, text: str):
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match="not valid YAML") as caught:
        recipe.load(path)
    assert caught.value.where == str(path)


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="mapping of sections"):
        recipe.load(written(tmp_path, "- 1\n"))


def test_an_unknown_recipe_gets_a_did_you_mean():
    with pytest.raises(UsageError) as caught:
        recipe.load("ml1m")
    assert "ml-1m" in (caught.value.hint or "")


def test_an_unknown_method_gets_a_did_you_mean():
    with pytest.raises(UsageError) as caught:
        recipe.load("ml-1m", method="relora")
    assert "unknown method" in caught.value.what
    assert "reclora" in (caught.value.hint or "")


def test_a_recipe_file_that_is_not_there_is_a_missing_input(tmp_path: Path):
    with pytest.raises(MissingInputError) as caught:
        recipe.load(tmp_path / "none.yaml")
    assert caught.value.exit_code == 3


def test_a_recipe_that_extends_itself_is_refused(tmp_path: Path):
    path = written(tmp_path, "extends: mine\n")
    with pytest.raises(UsageError, match="extends"):
        recipe.load(path)


@pytest.mark.parametrize("parent", ["5", "[base]", "{base: 1}", "nothing-such"])
def test_extending_what_is_no_recipe_is_refused(tmp_path: Path, parent: str):
    with pytest.raises(UsageError):
        recipe.load(written(tmp_path, f"extends: {parent}\n"))


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"extends: base\nlm: {yes: \xe9}\n")
    with pytest.raises(UsageError) as caught:
        recipe.load(path)
    assert caught.value.where == str(path)


def test_setting_a_key_below_a_plain_value_is_refused():
    with pytest.raises(UsageError, match="seed"):
        recipe.load("ml-1m", overrides=["seed.x=1"])


# -- what identifies a recipe -------------------------------------------------------------------


def test_yaml_and_back_is_the_same_recipe(tmp_path: Path):
    loaded = recipe.load("ml-1m", method="rella", overrides=["lm.yes=yes", "crm.weight_decay=1e-7"])
    assert recipe.load(written(tmp_path, recipe.to_yaml(loaded))) == loaded


def test_a_recipe_is_frozen():
    with pytest.raises(Exception, match="frozen"):
        recipe.load("ml-1m").seed = 3  # type: ignore[misc]


def test_the_fingerprint_does_not_depend_on_key_order():
    assert recipe.fingerprint({"a": 1, "b": 2}) == recipe.fingerprint({"b": 2, "a": 1})


def test_the_fingerprint_changes_with_any_value():
    loaded = recipe.load("ml-1m")
    other = recipe.load("ml-1m", values={"gate.temperature": 5.0})
    assert recipe.fingerprint(loaded.gate) != recipe.fingerprint(other.gate)
    assert recipe.fingerprint(loaded.crm) == recipe.fingerprint(other.crm)


def test_differences_name_dotted_keys_and_both_values():
    found = recipe.differences({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 5}, "e": 4})
    assert found == ["a.c: 2 -> 5", "d: 3 -> None", "e: None -> 4"]


def test_differences_of_equal_trees_are_none():
    tree = recipe.load("ml-1m").model_dump()
    assert recipe.differences(tree, tree) == []


# -- YAML as people expect it --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-4", 5e-4),
        ("1.0e-3", 1e-3),
        ("5", 5),
        (".5", 0.5),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("1e", "1e"),
        ("-", [None]),
    ],
)
def test_scalars_are_read_by_the_core_schema(text: str, value: object):
    from reclora_cli.recipe.yaml_core import parse

    found = parse(text)
    assert found == value
    assert type(found) is type(value)


def test_yaml_builds_no_python_objects():
    import yaml

    from reclora_cli.recipe.yaml_core import parse

    with pytest.raises(yaml.YAMLError):
        parse("!!python/object/apply:os.getcwd []")


def test_reading_recipes_leaves_pyyamls_own_loader_alone():
    import yaml

    import reclora_cli.recipe  # noqa: F401

    assert yaml.safe_load("yes") is True


def test_file_may_be_called_like_the_shipped_recipe_it_extends(tmp_path: Path) -> None:
    file = tmp_path / "ml-1m.yaml"
    file.write_text("extends: ml-1m\nseed: 7\n")
    assert recipe.load(file).seed == 7
    assert recipe.load(file).data == recipe.load("ml-1m").data


# -- settings that belong to one CRM ------------------------------------------------------------

OF_CRMS = """
extends: base
crm: {epochs: 3}
crms:
  din: {epochs: 5, dropout: 0.2, attention_layers: [32]}
  dcnv2: {dcnv2: {cross_layers: 6}}
"""


def test_settings_of_a_crm_hold_where_it_is_chosen(tmp_path: Path):
    file = written(tmp_path, OF_CRMS)
    assert recipe.load(file).crm.epochs == 3  # sim, of which nothing is said
    din = recipe.load(file, values={"crm.model": "din"}).crm
    assert (din.epochs, din.dropout, din.attention_layers) == (5, 0.2, (32,))
    dcnv2 = recipe.load(file, overrides=["crm.model=dcnv2"]).crm
    assert (dcnv2.epochs, dcnv2.dcnv2.cross_layers) == (3, 6)


def test_an_upper_layer_wins_over_settings_of_a_crm(tmp_path: Path):
    written(tmp_path, OF_CRMS, "below.yaml")
    file = written(tmp_path, "extends: below\ncrm: {model: din, epochs: 7}\n")
    own = recipe.load(file).crm
    assert (own.epochs, own.dropout) == (7, 0.2)
    assert recipe.load(file, overrides=["crm.dropout=0.0"]).crm.dropout == 0.0
    other = recipe.load(file, overrides=["crm.model=dcnv2", "crm.dcnv2.cross_layers=1"]).crm
    assert (other.epochs, other.dcnv2.cross_layers) == (7, 1)


def test_settings_of_a_crm_beside_a_key_of_its_section_stay(tmp_path: Path):
    written(
        tmp_path, "extends: base\ncrms: {sasrec: {sasrec: {heads: 2, layers: 2}}}", "below.yaml"
    )
    file = written(tmp_path, "extends: below\ncrm: {model: sasrec, sasrec: {layers: 3}}\n")
    assert (recipe.load(file).crm.sasrec.heads, recipe.load(file).crm.sasrec.layers) == (2, 3)


@pytest.mark.parametrize(
    ("crms", "said"),
    [
        ("{dim: {epochs: 1}}", "din"),
        ("{din: 3}", "crms.din holds settings"),
        ("{din: {model: sim}}", "but no model"),
        ("[din]", "crms maps CRMs to settings"),
    ],
)
def test_settings_of_a_crm_that_make_no_sense_are_refused(tmp_path: Path, crms: str, said: str):
    file = written(tmp_path, f"extends: base\ncrms: {crms}\n")
    with pytest.raises(UsageError) as error:
        recipe.load(file)
    assert said in f"{error.value.what} {error.value.hint}"


@pytest.mark.parametrize("name", recipe.names())
@pytest.mark.parametrize("model", catalog.CRMS)
def test_every_shipped_recipe_loads_with_every_crm(name: str, model: str):
    assert recipe.load(name, values={"crm.model": model}).crm.model == model


@pytest.mark.parametrize("model", ["sim", "din"])
def test_a_written_difference_reads_back_where_settings_go_by_the_crm(tmp_path: Path, model: str):
    written(tmp_path, OF_CRMS, "below.yaml")
    chosen = recipe.load(tmp_path / "below.yaml", values={"crm.model": model, "crm.dropout": 0.0})
    text = delta.delta_yaml(chosen, str(tmp_path / "below.yaml"), "mine")
    assert recipe.load(written(tmp_path, text)) == chosen
