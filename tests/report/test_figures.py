"""What figures show, on the page and in files."""

import html

import numpy as np
import pytest

from jaxrl.report import interactive, static
from jaxrl.report.curve_figures import TICKS, learning_curves, power, profile, reached, sensitivity, ticks_of
from jaxrl.report.figures import NEUTRAL, Axis, Band, Dots, Figure, Line, Rule
from jaxrl.report.page import figures_of, figures_over
from jaxrl.report.row_figures import aggregate, final_scores, improvement, intervals, row_labels, score_range
from jaxrl.report.summary import summarise
from tests.report.sections import FAST, NAN, SLOW, noise, pole, rng, section_of
from tests.studies import made_study


def test_rows_of_figures_tell_how_many_runs_failed(tmp_path):
    few = noise(0, 400, 20)
    few[:2] = NAN
    groups = {(f"E{i}-v0", rate): scores for i in range(2) for rate, scores in ((1, few), (2, few + NAN))}
    summary = summarise(made_study(tmp_path, groups), rng())
    section = summary.sections[0]
    assert row_labels(section) == ["learning_rate=1\n2 of 20 failed", "learning_rate=2\nall 20 failed"]
    for figure in (final_scores(section), intervals(section)):
        assert interactive.draw(figure).layout.yaxis.ticktext[1].endswith("<br>all 20 failed")
    labels = interactive.draw(aggregate(summary.overall, "mean")).layout.yaxis.ticktext
    assert labels[0].endswith("<br>4 of 40 failed")
    _, dots = interactive.draw(sensitivity(section, "ppo", "learning_rate")).data
    assert list(dots.marker.symbol) == ["circle-open"] * 2


def test_labels_of_close_values_have_room():
    assert ticks_of(np.array([1e-4, 1.1e-4, 3e-4, 1e-3])) == [1e-4, 3e-4, 1e-3]
    assert ticks_of(np.array([1.0, 10.0])) == [1, 10]
    assert len(ticks_of(np.geomspace(1, 100, 50))) <= TICKS


def test_a_profile_is_drawn_in_steps(tmp_path):
    _, line = interactive.draw(profile(section_of(pole(tmp_path, [1.0, 2.0, 3.0])))).data
    changes = np.diff(line.x) * np.diff(line.y)
    assert len(changes) > 100
    assert (changes == 0).all()


def test_shares_of_runs_that_reached_the_threshold_are_drawn_in_steps(tmp_path):
    """Runs climb to 1,000 in four steps of 25,000, so that they are at 475 from 50,000 on."""
    figure = interactive.draw(reached(section_of(pole(tmp_path, [400.0] * 8, [1_000.0] * 8))))
    slow, fast = (trace for trace in figure.data if trace.fill is None)
    assert set(slow.y) == {0}
    assert list(fast.x) == [0, 50_000, 50_000]
    assert list(fast.y) == [0, 0, 1]


def test_every_trace_is_a_line(tmp_path):
    """Plotly marks the points of short curves unless told otherwise."""
    figure = interactive.draw(learning_curves(section_of(pole(tmp_path, [1.0, 2.0], [2.0, 3.0]))))
    assert len(figure.data) == 2 * 2 * 5
    assert {trace.mode for trace in figure.data} == {"lines"}
    layers = [trace.meta.get("layer") for trace in figure.data]
    assert layers[:2] == ["seeds"] * 2
    assert layers[8:10] == [None] * 2  # the means come last, above all bands


def test_axes_have_room_even_for_a_single_score(tmp_path):
    low, high = score_range(section_of(pole(tmp_path, [9.5] * 3, solved=9.4999)))
    assert low < 9.0 < 10.0 < high
    low, high = score_range(section_of(pole(tmp_path, [0.0] * 3, solved=NAN)))
    assert low < 0 < high


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """Every figure of two environments with two settings of 50 runs each, one of which failed."""
    groups = {
        (name, rate): noise(i, 400 + 1e5 * rate, 50) for i, name in enumerate("AB") for rate in (1e-4, 1e-3)
    }
    groups["A", 1e-4][7] = NAN
    summary = summarise(made_study(tmp_path_factory.mktemp("figures"), groups), rng())
    return [*figures_of(summary.sections[0]), *figures_over(summary.overall)]


def css(mark):
    return f"rgba({', '.join(map(str, mark.colour))}, {mark.opacity:g})"


def test_the_page_draws_every_mark_in_its_colour(figures):
    for figure in figures:
        drawn = interactive.draw(figure)
        marks = [mark for mark in figure.marks if not isinstance(mark, Rule)]
        rules = [mark for mark in figure.marks if isinstance(mark, Rule)]
        assert [trace.meta for trace in drawn.data] == [{**mark.controls} for mark in marks]
        of_kind = {
            Line: lambda trace: trace.line.color,
            Dots: lambda trace: trace.marker.color,
            Band: lambda trace: trace.fillcolor,
        }
        assert [of_kind[type(mark)](trace) for mark, trace in zip(marks, drawn.data, strict=True)] == [
            *map(css, marks)
        ]
        assert [shape.line.color for shape in drawn.layout.shapes] == [*map(css, rules)]
        assert all(trace.hovertemplate or trace.hoverinfo == "skip" for trace in drawn.data)
        assert drawn.layout.height == figure.height


def test_a_file_draws_what_the_page_starts_with(figures):
    for figure in figures:
        axes = static.draw(figure, figure.title).axes[0]
        marks = figure.first_seen
        for kinds, drawn in (((Line, Rule), axes.lines), ((Dots, Band), axes.collections)):
            expected = [mark for mark in marks if isinstance(mark, kinds)]
            assert len(drawn) == len(expected) > 0 or not expected
            for mark, artist in zip(expected, drawn, strict=True):
                colour = (
                    artist.get_color() if isinstance(mark, (Line, Rule)) else artist.get_facecolor()[0][:3]
                )
                if not (isinstance(mark, Dots) and mark.hollow is not None and any(mark.hollow)):
                    np.testing.assert_allclose(255 * np.asarray(colour), mark.colour)
                assert artist.get_alpha() == mark.opacity
    curves = figures[0]
    assert len(curves.marks) == 2 * 2 * 5 + 1
    assert {mark.controls.get("kind") for mark in curves.first_seen} == {"evaluation", None}
    assert {mark.controls.get("layer") for mark in curves.first_seen} == {
        "pointwise",
        "tolerance",
        "seeds",
        None,
    }


def test_both_formats_have_the_same_axes(figures):
    for figure in figures:
        page, axes = interactive.draw(figure).layout, static.draw(figure, figure.title).axes[0]
        for described, on_page, axis in (
            (figure.x, page.xaxis, axes.xaxis),
            (figure.y, page.yaxis, axes.yaxis),
        ):
            assert axis.get_label_text() == described.label
            assert (on_page.title.text or "") == described.label
            assert (axis.get_scale() == "log") == (on_page.type == "log") == described.log
            if described.limits is not None:
                assert tuple(on_page.range) == pytest.approx(described.limits)
                assert tuple(axis.get_view_interval()) == pytest.approx(described.limits)
            if described.ticks is not None:
                labels = [label.get_text() for label in axis.get_ticklabels()]
                assert labels == [*described.ticks.values()]
                assert [html.unescape(text).replace("<br>", "\n") for text in on_page.ticktext] == labels


def test_limits_are_values_also_on_a_log_axis():
    line = Line(x=[1, 100], y=[0, 1], colour=NEUTRAL)
    figure = Figure(name="", title="", caption="", x=Axis("", (1, 100), log=True), y=Axis(""), marks=[line])
    assert tuple(interactive.draw(figure).layout.xaxis.range) == (0, 2)  # plotly takes logarithms
    assert static.draw(figure, "").axes[0].get_xlim() == (1, 100)


def test_both_formats_have_a_legend_of_lines(tmp_path):
    section = section_of(pole(tmp_path, noise(0, 400, 8), noise(1, 410, 8), clip=[0.1, 0.2] * 8))
    for figure in (power(section), sensitivity(section, "ppo", "clip")):
        names = list(dict.fromkeys(mark.legend for mark in figure.marks if mark.legend))
        page = interactive.draw(figure)
        assert page.layout.showlegend
        assert [trace.name for trace in page.data if trace.showlegend] == names
        (legend,) = static.draw(figure, "").legends
        assert [text.get_text() for text in legend.get_texts()] == names
        dashes = [mark.dash for mark in figure.marks if isinstance(mark, Line)]
        assert [line.get_linestyle() for line in legend.get_lines()] == [
            static.LINES[dash] for dash in dashes
        ]


def test_a_file_names_the_settings_that_the_page_names_beside_its_controls(tmp_path):
    section = section_of(pole(tmp_path, noise(0, 400, 8), noise(1, 410, 8)))
    names = [section.names[setting] for setting in (SLOW, FAST)]
    for figure, expected in (
        (learning_curves(section), names),
        (improvement(section), [f"A  {names[0]}", f"B  {names[1]}"]),
    ):
        assert not interactive.draw(figure).layout.showlegend
        (legend,) = static.draw(figure, "").legends
        assert [text.get_text() for text in legend.get_texts()] == expected
    assert static.draw(intervals(section), "").legends == []


def test_undecided_comparisons_are_hollow(tmp_path):
    scores = noise(0, 400, 20)
    decided = improvement(section_of(pole(tmp_path, scores, scores + 500)))
    undecided = improvement(section_of(pole(tmp_path, scores, scores[::-1] + 1)))
    for figure, symbol, face in (
        (decided, "circle", (24 / 255, 128 / 255, 196 / 255)),
        (undecided, "circle-open", (1, 1, 1)),
    ):
        _, dots = interactive.draw(figure).data
        assert list(dots.marker.symbol) == [symbol]
        (drawn,) = static.draw(figure, "").axes[0].collections
        assert tuple(drawn.get_facecolor()[0][:3]) == pytest.approx(face)


@pytest.mark.parametrize(
    "values", [(True, False), ("tanh", "a value that is much longer than a tick's label")]
)
def test_values_that_are_no_numbers_have_a_place_each(tmp_path, values):
    section = section_of(made_study(tmp_path, {("A", value): [1.0, 2.0] for value in values}))
    figure = sensitivity(section, "ppo", "learning_rate")
    assert len(figure.x.ticks) == 2
    assert [label.replace("\n", " ") for label in figure.x.ticks.values()] == sorted(map(str, values))
    assert f'"{values[0]}"' in interactive.draw(figure).to_json()


def test_names_are_no_markup(tmp_path):
    """Plotly reads HTML, and matplotlib reads mathematics between dollar signs."""
    section = section_of(made_study(tmp_path, {("A", "<i>$x$"): [1.0, 2.0], ("A", "y"): [2.0, 3.0]}))
    for figure in (intervals(section), improvement(section), sensitivity(section, "ppo", "learning_rate")):
        assert "<i>" not in str(interactive.draw(figure))
        static.save(figure, "$A$", tmp_path, "figure")
    assert "&lt;i&gt;$x$" in str(interactive.draw(intervals(section)))
    assert r"\$x\$" in static.draw(intervals(section), "").axes[0].get_yticklabels()[0].get_text()
