"""The page as a browser shows it."""

import re

import numpy as np
import pytest

from jaxrl.report.page import write_studies
from tests.browser import CHROMIUM, browser
from tests.studies import made_study

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")

PLOT = 'document.querySelector(".plot")'  # the learning curves of the first environment
SHOWN = f"{PLOT}.data.filter(trace => trace.visible !== false).map(trace => trace.meta)"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report on two environments with two settings of 50 runs each, one of which failed."""
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    groups = {
        (name, rate): rng.normal(mean, 30, 50)
        for name in ("CartPole-v1", "Acrobot-v1")
        for rate, mean in ((1e-4, 380), (1e-3, 420))
    }
    groups["CartPole-v1", 1e-4][7] = np.nan
    return write_studies([made_study(folder, groups)], folder)


@pytest.fixture(scope="module")
def chromium():
    with browser() as found:
        yield found


def contrast(first, second):
    """The contrast of two colours "rgb(...)" by the Web Content Accessibility Guidelines 2, 1.4.3."""

    def luminance(colour):
        channels = np.array([int(part) for part in re.findall(r"\d+", colour)[:3]]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_it_draws_every_figure_and_asks_for_nothing(page, chromium):
    chromium.open(page)
    assert (
        chromium.evaluate('document.querySelectorAll(".plot").length') == 8 + 7 + 5
    )  # only in the first does a run solve it
    empty = (
        '[...document.querySelectorAll(".plot")].filter(plot => !plot.querySelector(".trace path")).length'
    )
    assert chromium.evaluate(empty) == 0
    assert chromium.errors() == []
    assert chromium.requests() == [f"file://{page}"]
    text = chromium.evaluate("document.body.innerText")
    for words in (
        "learning_rate=0.001 is better than learning_rate=0.0001",
        "Runs failed: 1 of 50",
        "not finite",
    ):
        assert words in text


def test_the_page_may_not_ask_for_anything(page, chromium):
    """Its content security policy stops a request that some later version might make."""
    chromium.open(page)
    asked = chromium.evaluate('fetch("http://127.0.0.1:9/x").then(() => "sent", error => error.name)')
    assert asked == "TypeError"
    assert any("Content Security Policy" in str(error) for error in chromium.errors())


def test_the_controls_choose_what_is_seen(page, chromium):
    chromium.open(page)
    shown = chromium.evaluate(SHOWN)
    assert {meta["kind"] for meta in shown} == {"evaluation"}
    assert {meta.get("layer") for meta in shown} == {None, "pointwise", "tolerance", "seeds"}
    chromium.click('input[value="seeds"]')
    assert {meta.get("layer") for meta in chromium.evaluate(SHOWN)} == {None, "pointwise", "tolerance"}
    chromium.click('input[value="training"]')
    assert {meta["kind"] for meta in chromium.evaluate(SHOWN)} == {"training"}
    chromium.click('input[data-key="setting"]')
    assert {tuple(meta["setting"]) for meta in chromium.evaluate(SHOWN)} == {(1,)}
    other = SHOWN.replace(PLOT, 'document.querySelectorAll("section")[1].querySelector(".plot")')
    assert {tuple(meta["setting"]) for meta in chromium.evaluate(other)} == {(0,), (1,)}
    pairs = 'document.querySelectorAll(".plot")[5].data.filter(trace => trace.visible).length'
    assert chromium.evaluate(pairs) == 0  # a pair with a hidden setting


def test_a_single_seed_is_named_under_the_mouse(page, chromium):
    chromium.open(page)
    for layer in ("pointwise", "tolerance"):
        chromium.click(f'input[value="{layer}"]')
    place = chromium.evaluate(
        f"""(() => {{ const plot = {PLOT}, box = plot.getBoundingClientRect(), axes = plot._fullLayout;
            const seeds = plot._fullData[0];
            let low = 3;  // of the seeds' fourth points, each five and a gap, the one farthest from both means
            for (let i = 3; i < seeds.y.length; i += 6) if (seeds.y[i] < seeds.y[low]) low = i;
            return [box.x + axes.xaxis._offset + axes.xaxis.d2p(seeds.x[low]),
                    box.y + axes.yaxis._offset + axes.yaxis.d2p(seeds.y[low])]; }})()"""
    )
    chromium.hover(*place)
    text = chromium.evaluate(
        f"new Promise(done => setTimeout(() => done({PLOT}.querySelector('.hoverlayer').textContent), 500))"
    )
    assert re.match(r"seed \d+: \d+.* at 75,000", text)


def test_it_is_readable_on_a_narrow_screen(page, chromium):
    chromium.open(page, width=400, height=800, touch=True)
    assert chromium.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [400, 400]
    wide = '[...document.querySelectorAll(".plot .main-svg")].filter(e => e.getBoundingClientRect().right > 400).length'
    assert chromium.evaluate(wide) == 0
    assert chromium.evaluate('parseFloat(getComputedStyle(document.querySelector("li")).fontSize)') >= 14
    narrow = '[...document.querySelectorAll(".plot")].map(plot => plot._fullLayout._size.w)'
    assert min(chromium.evaluate(narrow)) > 180  # labels leave room for what is drawn


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_readable_in_light_and_in_dark(page, chromium, dark):
    chromium.open(page, dark=dark)
    back = chromium.evaluate('getComputedStyle(document.querySelector("section")).backgroundColor')
    assert (contrast(back, "rgb(0, 0, 0)") < 2) == dark
    for selector in ("li", "h2", "th", "td", "figcaption", "p.soft", "td.bad, .bad"):
        colour = chromium.evaluate(f"getComputedStyle(document.querySelector({selector!r})).color")
        assert contrast(colour, back) >= 4.5, selector
    ticks = chromium.evaluate(f"getComputedStyle({PLOT}.querySelector('.xtick text')).fill")
    assert contrast(ticks, back) >= 4.5
    means = f"{PLOT}.data.filter(trace => trace.meta && !trace.meta.layer).map(trace => trace.line.color)"
    for colour in chromium.evaluate(means):
        assert contrast(colour, back) >= 3, colour  # the guidelines' 1.4.11, for graphics


def test_the_colours_follow_the_system(page, chromium):
    chromium.open(page)
    ticks = f"getComputedStyle({PLOT}.querySelector('.xtick text')).fill"
    light = chromium.evaluate(ticks)
    chromium.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    later = f"new Promise(done => setTimeout(() => done({ticks}), 1500))"
    assert chromium.evaluate(later) != light


def test_figures_keep_their_height_when_the_window_is_resized(page, chromium):
    chromium.open(page)
    height = f"{PLOT}.clientHeight"
    before = chromium.evaluate(height)
    narrow = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    chromium.call("Emulation.setDeviceMetricsOverride", **narrow)
    later = f"new Promise(done => setTimeout(() => done({height}), 1500))"
    assert chromium.evaluate(later) == before == 420
