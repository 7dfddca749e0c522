"""Views of results: readable at 80 and 160 columns, in colour, without, and in plain ASCII."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console as RichConsole
from rich.console import RenderableType

from reclora_cli.cli.console import THEME
from reclora_cli.cli.render import (
    audit,
    build_index,
    cache,
    compared_runs,
    config,
    demo,
    doctor,
    evaluate,
    evaluate_next,
    experts,
    explain,
    explain_next,
    export,
    finetune,
    overview,
    prepare,
    pretrain_crm,
    report,
    runs,
    several_crms,
    tuned_crms,
    tuned_lm,
    what_if,
)
from reclora_cli.cli.render.marks import bar
from reclora_cli.metrics.compare import Figure, UserFigure
from reclora_cli.stages.break_downs import NAMES
from reclora_cli.stages.evaluated import short_names
from reclora_cli.stages.list_runs import RunsList
from tests.cli import (
    results,
    results_of_explaining,
    results_of_next,
    results_of_rows,
    results_of_runs,
    results_of_tools,
)

VIEWS: dict[str, Callable[[], RenderableType]] = {
    "prepare": lambda: prepare.render(results.prepare()),
    "audit": lambda: audit.render(results.audit()),
    "audit that fails": lambda: audit.render(results.audit(held=False)),
    "index": lambda: build_index.render(results.build_index()),
    "index plan": lambda: build_index.render(
        results.build_index(dry_run=True, tokens=43273, estimated_seconds=253.0)
    ),
    "similar": lambda: build_index.render_similar(results.similar()),
    "crm": lambda: pretrain_crm.render(results.pretrain_crm()),
    "crm plan": lambda: pretrain_crm.render(
        results.pretrain_crm(dry_run=True, plan=results.crm_plan(), best_step=None, validation=None)
    ),
    "several crms": lambda: several_crms.render(results.several_crms()),
    "several crms plan": lambda: several_crms.render(results.several_crms(dry_run=True)),
    "tuned crms": lambda: tuned_crms.render(results.tuned_crms()),
    "tuned crms plan": lambda: tuned_crms.render(results.tuned_crms(dry_run=True)),
    "tuned lm": lambda: tuned_lm.render(results.tuned_lm()),
    "tuned lm plan": lambda: tuned_lm.render(results.tuned_lm(dry_run=True)),
    "finetune": lambda: finetune.render(results.finetune()),
    "reproduced": lambda: finetune.render(
        results.finetune(reproduction=results.reproduction(same=True))
    ),
    "not reproduced": lambda: finetune.render(
        results.finetune(reproduction=results.reproduction(same=False))
    ),
    "finetune plan": lambda: finetune.render(
        results.finetune(dry_run=True, plan=results.tuning_plan(), first_loss=None, last_loss=None)
    ),
    "evaluate": lambda: evaluate.render(results.evaluate()),
    "evaluate by": lambda: evaluate.render(results.evaluate(plot="a.png", saved=["a.md"]), NAMES),
    "evaluate over seeds": lambda: evaluate.render(results.evaluate(seeds=[results.seeds()])),
    "evaluate plan": lambda: evaluate.render(
        results.evaluate(dry_run=True, models=[], differences=[], plan=results.planned())
    ),
    "evaluate next": lambda: evaluate_next.render(results_of_next.evaluate_next()),
    "evaluate next plan": lambda: evaluate_next.render(
        results_of_next.evaluate_next(
            dry_run=True, models=[], differences=[], plan=results_of_next.planned()
        )
    ),
    "explain": lambda: explain.render(results.explain()),
    "explain without gate": lambda: explain.render(
        results.explain(gate=None, crm_behaviours=[], neighbours=[])
    ),
    "experts": lambda: experts.render(results_of_explaining.experts()),
    "experts without traits": lambda: experts.render(results_of_explaining.experts_alike()),
    "what if": lambda: what_if.render(results_of_explaining.what_if()),
    "what if without gate": lambda: what_if.render(results_of_explaining.what_if_without_gate()),
    "explain without target": lambda: explain.render(results.explain_user()),
    "explained row": lambda: explain_next.render(results_of_rows.explained()),
    "explained row, separate gates": lambda: explain_next.render(
        results_of_rows.explained(gate=results_of_rows.gate(60), gate_scope="projection")
    ),
    "explained row without gate": lambda: explain_next.render(
        results_of_rows.explained(
            gate=None,
            gate_scope=None,
            encoder=None,
            candidates=results_of_rows.candidates(encoder=False),
        )
    ),
    "export": lambda: export.render(results.export()),
    "export, cut down": lambda: export.render(results.export(rank=8, relative_error=0.0731)),
    "export of a mean": lambda: export.render(results.export(mixture=results.mean_mixture())),
    "demo": lambda: demo.render(results.demo()),
    "runs": lambda: runs.listed(results_of_runs.listed_runs()),
    "runs of both tasks": lambda: runs.listed(
        RunsList("ws", [results_of_runs.run_line(), results_of_rows.next_line(dataset="ml-1m")])
    ),
    "run": lambda: runs.shown(results_of_runs.shown_run()),
    "unfinished run": lambda: runs.shown(results_of_runs.shown_run(manifest=None)),
    "compared runs": lambda: compared_runs.render(results_of_runs.compared_runs()),
    "compared runs of the task next": lambda: compared_runs.render(
        results_of_runs.compared_runs(figures=[], next_figures=[results_of_rows.same_rows()])
    ),
    "refused comparison": lambda: compared_runs.render(
        results_of_runs.compared_runs(figures=[], not_compared="the runs are of other datasets")
    ),
    "removed runs": lambda: runs.removed(results_of_runs.removed_runs()),
    "report": lambda: report.render(results_of_runs.written_report()),
    "home of nothing": lambda: overview.render(results_of_tools.empty_home()),
    "home": lambda: overview.render(results_of_tools.home()),
    "cache": lambda: cache.listed(results_of_tools.cache()),
    "pruned cache": lambda: cache.pruned(results_of_tools.pruned()),
    "config": lambda: config.render(results_of_tools.recipe()),
    "doctor": lambda: doctor.render(results_of_tools.diagnosis()),
}


def drawn(view: RenderableType, width: int = 80, **options: Any) -> str:
    stream = io.StringIO()
    console = RichConsole(
        file=stream, width=width, theme=THEME, highlight=False, markup=False, emoji=False, **options
    )
    console.print(view)
    return stream.getvalue()


class Ascii(io.TextIOWrapper):
    """A stream that takes ASCII only; what it cannot take becomes ``?``, as the console has it."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="ascii", errors="replace")


@pytest.mark.parametrize("width", [60, 80, 160])
@pytest.mark.parametrize("name", VIEWS)
def test_every_view_fits_its_width(name: str, width: int):
    assert max(map(len, drawn(VIEWS[name](), width).splitlines())) <= width


@pytest.mark.parametrize("name", VIEWS)
def test_no_cell_is_cut_off_at_80_columns(name: str):
    assert "…" not in drawn(VIEWS[name](), 80)


@pytest.mark.parametrize("name", VIEWS)
def test_colour_adds_nothing_that_must_be_seen(name: str):
    plain = drawn(VIEWS[name](), 160).replace(" ", "")
    coloured = drawn(VIEWS[name](), 160, force_terminal=True, color_system="truecolor")
    assert "\x1b[" in coloured
    letters = [letter for letter in plain if letter.isalnum()]
    assert [letter for letter in without_colour(coloured) if letter.isalnum()] == letters


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_can_be_drawn_in_ascii(name: str):
    stream = Ascii()
    RichConsole(file=stream, width=80, theme=THEME).print(VIEWS[name]())
    stream.flush()
    written = stream.buffer.getvalue().decode("ascii").replace(" ", "")
    assert len(written) > 40
    assert written.count("?") < len(written) / 10


def without_colour(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


# -- what each tells ----------------------------------------------------------------------------


def test_runs_are_told_with_their_auc_and_the_rows_it_is_of():
    text = drawn(VIEWS["runs"]())
    assert "reclora-k16-1024-cf8394a7" in text
    assert ".7978" in text
    assert "1,000" in text
    assert "step 200" in text


def test_a_wide_terminal_is_told_method_lm_and_interval_too():
    text = drawn(VIEWS["runs"](), 160)
    for figure in ("smollm2-135m", "reclora-k16 ", ".7978 [.770, .826]", "22 min 16 s"):
        assert figure in text


def test_a_section_that_one_recipe_lacks_is_named_and_not_spelt_out():
    text = drawn(VIEWS["compared runs"]())
    assert "sim, 2 keys" in text
    assert "dropout" not in text


def test_a_refused_comparison_says_so_plainly():
    text = " ".join(drawn(VIEWS["refused comparison"]()).split())
    assert "Figures are not compared: the runs are of other datasets." in text


def heads(text: str) -> list[str]:
    """The line above each ruled one: what a table's columns are called."""
    lines = text.splitlines()
    return [lines[at - 1] for at, line in enumerate(lines) if line.strip().startswith("──")]


@pytest.mark.parametrize("width", [80, 160])
def test_an_evaluation_of_next_items_has_each_head_on_one_line(width: int):
    ranking, words, differences = heads(drawn(VIEWS["evaluate next"](), width))
    for title in ("by ranking", "HR@1 [95%]", "NDCG@5 [95%]", "MRR [95%]"):
        assert title in ranking
    for title in ("by words", "HR@1 of valid [95%]", "ValidRatio [95%]"):
        assert title in words
    for title in ("difference", "HR@1 [95%]", "hits alone", "McNemar p"):
        assert title in differences


def test_an_evaluation_of_next_items_tells_chance_ambiguity_and_what_was_never_seen():
    text = " ".join(drawn(VIEWS["evaluate next"]()).split())
    for said in (
        "By chance HR@1 is .050.",
        "Truths that are in no training row: 2.",
        "two candidates share a title: 3",
        "minus ilora-hybrid-separate-gates-k4",
        "-.0574 [-.139, +.025]",
        "11 : 18",
    ):
        assert said in text


def test_prepare_tells_table_1():
    text = drawn(VIEWS["prepare"]())
    for figure in ("6,040", "3,706", "970,009", "16,944", "776,007", "97,000", "97,002", "19.8%"):
        assert figure in text
    assert "15 interactions left out: repeated" in text
    assert "4:57.6%, 5:22.6%" in text


def test_prepare_says_where_data_has_no_time():
    assert "order is the file's" in drawn(prepare.render(results.prepare(timed=False)))
    assert "order is the file's" not in drawn(prepare.render(results.prepare()))


def test_a_tuning_plan_tells_rows_tokens_parameters_memory_and_time():
    text = drawn(VIEWS["finetune plan"]())
    for figure in (
        "1,024 shots",
        "19,390,000",
        "8,363,760",
        "134,515,008",
        "2.4 GiB",
        "19 h 0 min",
    ):
        assert figure in text
    assert "dry run" in text


def test_evaluate_tells_figures_with_intervals():
    text = drawn(VIEWS["evaluate"]())
    assert ".7800 [.750, .810]" in text
    assert "300 test rows  a seeded subset of 9,529" in text
    assert "seen in training, n 45" in text


def test_evaluate_tells_paired_differences_with_interval_and_p():
    lines = drawn(VIEWS["evaluate"](), 100).splitlines()
    [head] = [line for line in lines if line.startswith("minus reclora-k16")]
    [lora] = [line for line in lines if line.startswith("lora") and "<.001*" in line]
    assert head.split().count("p") == 2
    assert "-.2940 [-.314, -.274]" in lora
    assert "+.0100 [-.010, +.030]" in lora
    assert ".410" in lora
    assert ".410*" not in lora


def test_evaluate_tells_relative_improvement_user_auc_and_calibration():
    text = drawn(VIEWS["evaluate"]())
    [crm] = [line for line in text.splitlines() if line.startswith("crm-sim ") and "%" in line]
    assert "+3.97%" in crm
    assert ".6600 [.610, .710]   .0310 [.012, .052]" in text
    assert "31 users with a like and a dislike, 240 rows" in text


def test_evaluate_tells_seeds_by_mean_and_standard_deviation():
    lines = drawn(VIEWS["evaluate over seeds"]()).splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("reclora-full-user-gate-k16"))
    assert lines[at].split()[1:] == [".7812", ".5512", "–", ".0312", ".7812"]
    assert lines[at + 1].startswith("seeds 0, 1, 2 ")
    assert lines[at + 1].split()[4:] == ["±.0041", "±.0102", "±.0044", "±.0041"]
    assert "over seeds" not in drawn(VIEWS["evaluate"]())


def test_rows_of_one_answer_alone_have_dashes_n_and_a_reason():
    nothing, of = Figure(None, None, None), results.evaluate().models[0].all
    one = replace(of, base_rate=1.0, auc=nothing, user_auc=UserFigure(None, None, None, 0, 0))
    models = [replace(model, all=one) for model in results.evaluate().models]
    text = drawn(evaluate.render(results.evaluate(models=models, differences=[])))
    assert "300 test rows" in text
    assert "One answer alone: no AUC." in " ".join(text.split())
    assert "no user has a like and a dislike" in text
    assert re.search(r"^lora +– +\.5400", text, re.M)


def test_a_break_down_by_shots_without_a_run_says_so():
    others = [one for one in results.evaluate().slices if one.by != "shots"]
    text = drawn(evaluate.render(results.evaluate(slices=others), ["shots"]))
    assert "By user in the shots: no run is evaluated." in text


def test_a_difference_is_coloured_only_when_its_interval_leaves_zero_out():
    text = drawn(VIEWS["evaluate"](), force_terminal=True, color_system="standard")
    assert "\x1b[32m+.0310" in text  # crm-sim: more AUC
    assert "\x1b[35m-.2940" in text  # lora: less
    assert "\x1b[32m+.0100" not in text
    assert "\x1b[35m+.0100" not in text


def test_evaluate_tells_break_downs_only_when_asked():
    assert "training rows of the item" not in drawn(VIEWS["evaluate"]())
    asked = drawn(evaluate.render(results.evaluate(), ["popularity"]), 160)
    assert "training rows of the item" in asked
    assert "behaviours in the past" not in asked
    assert "2,000-9,999" in asked
    assert "12,351" in asked
    [line] = [line for line in asked.splitlines() if line.startswith("crm-sim ") and "–" in line]
    assert line.split() == ["crm-sim", *[".8110"] * 7, "–"]
    assert "±.030" in asked
    assert "AUC by user" in asked


def test_evaluate_tells_users_apart_once():
    assert "AUC by user" not in drawn(VIEWS["evaluate by"]())
    assert "user in training" in drawn(VIEWS["evaluate by"]())
    assert "Drawn in a.png" in drawn(VIEWS["evaluate by"]())


def test_models_of_one_method_go_by_their_run():
    models = [results._model("lora", 0.5), results._model("lora", 0.6)]
    twins = [models[0], type(models[1])(**{**vars(models[1]), "name": "lora-512-beef"})]
    text = drawn(
        evaluate.render(results.evaluate(models=twins, differences=[], reference=twins[0].name))
    )
    assert "lora-512-beef" in text


def test_models_of_one_method_go_by_their_name_without_fingerprint_where_that_tells_them_apart():
    of = results._model("reclora-k16", 0.5)
    names = [f"reclora-k16-{end}" for end in ("256-abcd1234", "1024-abcd1234", "1024-00112233")]
    models = [replace(of, name=name) for name in names]
    assert list(short_names(models[:2]).values()) == ["reclora-k16-256", "reclora-k16-1024"]
    assert list(short_names(models).values()) == ["reclora-k16-256", *names[1:]]


def test_times_give_way_to_names():
    models = [replace(model, method="a-rather-long-name") for model in results.evaluate().models]
    view = evaluate.render(results.evaluate(models=models[:1], differences=[]))
    assert "2 min 2 s" not in drawn(view, 80)
    assert "a-rather-long-name " in drawn(view, 80)
    assert "2 min 2 s" in drawn(view, 100)


def test_explain_tells_the_user_the_target_and_the_probability():
    text = " ".join(drawn(VIEWS["explain"]()).split())
    for said in ("User 42", "226 valid", "never saw this user", "valid row 812345", ".731", "★★★½"):
        assert said in text


def test_explain_shows_a_bar_for_each_expert_and_a_line_for_each_layer():
    lines = drawn(VIEWS["explain"]()).splitlines()
    bars = [line for line in lines if "±" in line and "█" in line]
    layers = [line for line in lines if re.match(r" +\d+ [▁-█ ]{40,}$", line)]
    assert len(bars) == 16
    assert len(layers) == 30


def test_explain_names_how_the_user_departs():
    text = drawn(VIEWS["explain"]())
    assert "departure" in text
    assert "of the weight" in text
    told = " ".join(text.split())
    assert "mixture: 3.91 bits, of the user's mean 3.95, of the average's 4.00" in told


def test_explain_puts_bars_and_heat_map_side_by_side_where_there_is_room():
    narrow = drawn(VIEWS["explain"](), 80).splitlines()
    wide = drawn(VIEWS["explain"](), 160).splitlines()
    assert len(narrow) - len(wide) >= 15
    assert any("Gate weights by expert" in line and "by layer" in line for line in wide)


def test_a_run_without_a_gate_says_so():
    assert "no gate" in drawn(VIEWS["explain without gate"]())


def test_a_user_without_a_target_is_shown_by_the_gate_alone():
    text = " ".join(drawn(VIEWS["explain without target"]()).split())
    assert "none: this gate reads the user alone" in text
    assert "Gate weights by expert" in text
    assert "P(yes)" not in text
    assert "Behaviours" not in text


def test_an_explained_row_tells_history_ranks_words_and_truth():
    text = " ".join(drawn(VIEWS["explained row"]()).split())
    for said in (
        "lastfm, test row 17",
        f"{results.TITLE}, at 4 of 20 by likelihood; sasrec has it at 17",
        "Candidate Number 2, which did not come next; by likelihood at 2",
        "1 Radiohead",
        "user not known",
        "not why",
    ):
        assert said in text


@pytest.mark.parametrize("width", [80, 160])
def test_an_explained_row_has_a_line_for_each_candidate_and_marks_two(width: int):
    lines = drawn(VIEWS["explained row"](), width).splitlines()
    ranked = [line for line in lines if re.match(r" +\d+ .*-\d+\.\d\d ", line)]
    assert len(ranked) == 20
    assert [at for at, line in enumerate(ranked) if "came next" in line] == [3]
    assert [at for at, line in enumerate(ranked) if " said" in line] == [1]
    assert ranked[0].split()[:5] == ["1", "Candidate", "Number", "1", ".500"]


@pytest.mark.parametrize(
    ("answer", "said", "told"),
    [
        ("Somebody Else", set(), "Somebody Else, which names no candidate"),
        ("", set(), "LM says nothing"),
        ("A", {3}, "A, which came next; by likelihood at 4"),
        ("A", {3, 5}, "A, which 2 candidates are called"),
    ],
)
def test_an_explained_row_tells_what_the_words_name(answer: str, said: set[int], told: str):
    named = [replace(one, said=at in said) for at, one in enumerate(results_of_rows.candidates())]
    view = explain_next.render(results_of_rows.explained(answer=answer, candidates=named))
    assert told in " ".join(drawn(view).split())


def test_a_shared_gate_has_a_bar_for_each_expert_and_no_heat_map():
    shared = drawn(VIEWS["explained row"]())
    assert "one gate for 4 projections" in shared
    assert "by layer" not in shared
    assert "20.0% of the weight moved" in shared
    assert "1.85 bits; an even one has 2.00" in shared
    separate = drawn(VIEWS["explained row, separate gates"]())
    assert "mean of 60 gates" in separate
    assert len(re.findall(r"^ +\d+ [▁-█ ]{12,}$", separate, re.M)) == 30


def test_a_row_of_a_run_without_a_gate_says_so_and_ranks_all_the_same():
    text = drawn(VIEWS["explained row without gate"]())
    assert "no gate" in text
    assert "sasrec" not in text
    assert "20 candidates by likelihood" in text


def test_runs_of_the_task_next_stand_apart_with_their_hit_ratio():
    text = drawn(VIEWS["runs of both tasks"](), 160)
    assert "1 run of the task next" in text
    assert text.index("test AUC") < text.index("test HR@1")
    assert ".4262 [.338, .514]" in text


def test_compared_runs_of_the_task_next_are_told_figure_by_figure():
    text = drawn(VIEWS["compared runs of the task next"](), 160)
    for said in ("HR@1, by likelihood", "ValidRatio", "+.0312 [+.011, +.052]", "p .143"):
        assert said in text
    assert "HR@1 of valid" not in text


@pytest.mark.parametrize("experts", [1, 2, 64])
def test_any_number_of_experts_fits(experts: int):
    view = explain.render(results.explain(gate=results.gate(experts)))
    assert max(map(len, drawn(view, 80).splitlines())) <= 80


def test_titles_are_printed_as_they_are():
    assert results.TITLE in drawn(VIEWS["explain"]())
    assert results.TITLE in drawn(VIEWS["similar"]())


def test_the_demo_ends_with_the_results_table():
    text = drawn(VIEWS["demo"]())
    assert text.index("Gate weights by expert") < text.index("AUC [95%]")
    assert "13 min 20 s in all" in text


# -- bars ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "drawn_as"),
    [(0.0, "    "), (1.0, "████"), (0.5, "██  "), (0.53125, "██▏ "), (2.0, "████"), (-1.0, "    ")],
)
def test_a_bar_is_filled_in_eighths(share: float, drawn_as: str):
    assert bar(share, 4) == drawn_as


def test_a_bar_without_unicode():
    assert bar(0.5, 4, ascii_only=True) == "##  "


def test_an_export_tells_whose_mixture_it_is_and_what_a_smaller_rank_lost():
    whole = drawn(VIEWS["export"]())
    assert "user 42, [bold]Dangerous[/bold] Title: L'Été (1996) (row 812345)" in " ".join(
        whole.split()
    )
    assert "Frobenius" not in whole
    cut = drawn(VIEWS["export, cut down"](), 160)
    assert "8, cut down from 128" in cut
    assert "7.31% of the update's Frobenius norm" in cut
    assert cut.count("7.31%") == 62
    mean = " ".join(drawn(VIEWS["export of a mean"]()).split())
    assert "mean weights over 226 rows (226 valid)" in mean
    assert "a row's own differ by 8.1% on average" in mean
    assert ".062 ± .010" in mean
