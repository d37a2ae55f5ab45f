"""The page in a real browser: it runs without errors, asks for nothing, and answers to clicks."""

from __future__ import annotations

import json

import pytest

import zoo
from tests.helpers.named_digits import CLASSES

pytestmark = pytest.mark.browser


class Opened:
    """A page in the browser."""

    def __init__(self, browser, path):
        self.browser, self.path = browser, path
        browser.get_log("browser")
        browser.get_log("performance")
        browser.get(path.as_uri())

    def all(self, query):
        return self.browser.find_elements("css selector", query)

    def one(self, query):
        return self.browser.find_element("css selector", query)

    def click(self, query):
        self.run("arguments[0].click()", self.one(query))

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def column(self, table, number):
        cells = f"{table} tbody tr > :nth-child({number})"
        return self.run(
            "return [...document.querySelectorAll(arguments[0])].map(c => c.textContent)", cells
        )

    def look(self, **features):
        values = [{"name": k.replace("_", "-"), "value": v} for k, v in features.items()]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": values})

    def resize(self, width):
        """Make the window that wide, that of a phone if it is narrow; as it was if None."""
        if width is None:
            self.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
            return
        screen = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)

    def check(self):
        """No error, and nothing asked for but the file itself."""
        assert self.browser.get_log("browser") == []
        messages = [
            json.loads(e["message"])["message"] for e in self.browser.get_log("performance")
        ]
        asked = [
            m["params"]["request"]["url"]
            for m in messages
            if m["method"] == "Network.requestWillBeSent"
        ]
        assert {url for url in asked if not url.startswith("data:")} == {self.path.as_uri()}


@pytest.fixture
def opened(browser, page):
    return Opened(browser, page)


def test_it_runs_without_errors_and_asks_for_nothing(opened):
    assert opened.browser.title == "first · zoo report"
    assert opened.run("return document.querySelectorAll('svg').length") > 10
    opened.check()


def test_names_show_as_text(opened):
    assert opened.column("#classes .panel:not([hidden]) table.sortable", 1) == list(CLASSES)
    assert opened.all("img") == []
    assert len(opened.all("script")) == 1
    opened.check()  # an alert would have failed every call before


def test_tables_sort_on_click(opened):
    table = "#classes .panel:not([hidden]) table.sortable"
    counts = [int(words) for words in opened.column(table, 3)]
    head = f"{table} th:nth-child(3)"
    for order, expected in (("ascending", sorted(counts)), ("descending", sorted(counts)[::-1])):
        opened.click(f"{head} .sort")
        assert opened.one(head).get_attribute("aria-sort") == order
        assert [int(words) for words in opened.column(table, 3)] == expected
    opened.click(f"{table} th:nth-child(1) .sort")
    names = opened.column(table, 1)
    assert names == sorted(names, key=lambda name: name.lower())


def test_tabs_show_one_panel(opened):
    panels = "return [...document.querySelectorAll('#classes .panel')].map(p => p.hidden)"
    assert opened.run(panels) == [False, True]
    opened.click("#classes .tablist button:nth-child(2)")
    assert opened.run(panels) == [True, False]
    assert "validation images" in opened.one("#classes .panel:not([hidden])").text


def test_pictures_open_with_heat_maps_of_either_class(opened):
    opened.click("#mistakes .shots button.view")
    assert opened.one("dialog").get_property("open")
    words = opened.one("dialog .words").text
    assert " predicted as " in words
    assert "onerror=alert(2)" in words
    shown = "return getComputedStyle(document.querySelector('dialog .heat.predicted')).display"
    assert opened.run(shown) == "none"
    opened.click("dialog button[value='predicted']")
    assert opened.run(shown) == "inline"
    opened.click("dialog .bar:last-child button:nth-child(2)")
    assert opened.run(shown) == "inline"
    opened.click("dialog .bar:last-child button:last-child")
    assert not opened.one("dialog").get_property("open")
    opened.check()


def figures(opened):
    script = """return [...document.querySelectorAll('#mistakes .shot:not([hidden])')].map(
        figure => [figure.dataset[0], figure.dataset[1], Number(figure.dataset.loss)])"""
    return [tuple(figure) for figure in opened.run(script)]


def choose(opened, query, value):
    opened.run(
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change'))",
        opened.one(query),
        value,
    )


def test_mistakes_are_filtered_and_ordered(opened):
    every = opened.run("return document.querySelectorAll('#mistakes .shot').length")
    first = figures(opened)
    assert len(first) == min(every, 48)
    assert [loss for *_, loss in first] == sorted((loss for *_, loss in first), reverse=True)
    true, predicted, _ = first[0]
    choose(opened, "#mistakes select[data-key='0']", true)
    assert {figure[0] for figure in figures(opened)} == {true}
    choose(opened, "#mistakes select[data-key='1']", predicted)
    found = figures(opened)
    assert {figure[:2] for figure in found} == {(true, predicted)}
    assert opened.one("#mistakes .shown-count").text == f"{len(found)} shown"
    choose(opened, "#mistakes .order", "up")
    assert figures(opened) == sorted(found, key=lambda figure: figure[2])
    for key in "01":
        choose(opened, f"#mistakes select[data-key='{key}']", "")
    for _ in range(every // 48):
        opened.click("#mistakes .more")
    assert len(figures(opened)) == every
    opened.check()


def press(opened, key):
    """A key for what has the focus now: each step replaces elements."""
    opened.browser.switch_to.active_element.send_keys(key)


def test_mistakes_are_walked_through_by_keyboard(opened):
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    button = opened.one("#mistakes .shot:not([hidden]) button.view")
    opened.run("arguments[0].focus()", button)
    button.send_keys(keys.ENTER)
    first = opened.one("dialog .words").text
    press(opened, keys.ARROW_RIGHT)
    assert opened.one("dialog .words").text != first
    press(opened, keys.ARROW_LEFT)
    assert opened.one("dialog .words").text == first
    press(opened, keys.ESCAPE)
    assert not opened.one("dialog").get_property("open")
    assert opened.browser.switch_to.active_element == button


def test_the_map_shows_one_class(opened):
    opened.click("#map button[data-class='1']")
    picked = opened.run("return [...document.querySelectorAll('.map-dot.on')].map(d => d.dataset)")
    assert {dot["class"] for dot in picked} == {"1"}
    assert all(".png" in dot["words"] for dot in picked)


def test_it_follows_the_dark_and_fits_a_phone(opened):
    colour = "return getComputedStyle(document.body).backgroundColor"
    opened.look(prefers_color_scheme="light")
    light = opened.run(colour)
    opened.look(prefers_color_scheme="dark")
    assert opened.run(colour) != light
    opened.resize(390)
    assert opened.run("return document.documentElement.scrollWidth") == 390
    opened.resize(None)


@pytest.fixture(scope="module")
def pages(trained, page, study_page, tmp_path_factory):
    """One page of every kind."""
    folder = tmp_path_factory.mktemp("kinds")
    both = zoo.Run(trained[0].path.parent / "both")
    return {
        "run": page,
        "comparison": zoo.report([*trained], output=folder),
        "ensemble": zoo.report(both, output=folder),
        "study": study_page,
    }


KINDS = ("run", "comparison", "ensemble", "study")


@pytest.mark.parametrize("kind", KINDS)
def test_every_page_runs_without_errors_and_begins_with_a_sentence(browser, pages, kind):
    opened = Opened(browser, pages[kind])
    assert opened.all("table")
    sentence = opened.one("main .lead").text
    assert sentence.endswith(".")
    assert sentence[0].isupper() or sentence.startswith(("first", "second"))  # names of runs
    inner = opened.run("return [...document.querySelectorAll('.toc a')].map(a => a.hash.slice(1))")
    sections = opened.run("return [...document.querySelectorAll('main > section')].map(s => s.id)")
    assert inner == sections
    opened.check()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1300, 390])
def test_every_page_is_accessible(browser, pages, kind, scheme, width):
    """No violation of axe-core's rules, among them contrast and keyboard."""
    axe = pytest.importorskip("axe_core_python.selenium").Axe()
    opened = Opened(browser, pages[kind])
    opened.look(prefers_color_scheme=scheme)
    opened.resize(width)
    try:
        for details in opened.all("details"):
            opened.run("arguments[0].open = true", details)
        violations = axe.run(browser)["violations"]
        found = [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in violations]
        assert found == []
        assert opened.run(CELL_CONTRAST) >= 4.5
        assert opened.run("return document.documentElement.scrollWidth") <= width
    finally:
        opened.resize(None)


# axe-core does not look into SVG: the least contrast of the numbers in coloured cells
CELL_CONTRAST = """
const rgb = text => text.match(/[\\d.]+/g).map(Number);
const light = colour => {
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const [r, g, b] = colour.map(v => linear(v / 255));
  return .2126 * r + .7152 * g + .0722 * b;
};
const sheet = rgb(getComputedStyle(document.querySelector('.sheet')).backgroundColor);
return Math.min(21, ...[...document.querySelectorAll('.cell-text')].map(text => {
  const cell = getComputedStyle(text.previousElementSibling);
  const alpha = Number(cell.fillOpacity), [r, g, b] = rgb(cell.fill);
  const below = light([r, g, b].map((v, i) => v * alpha + sheet[i] * (1 - alpha)));
  const above = light(rgb(getComputedStyle(text).fill));
  return (Math.max(above, below) + .05) / (Math.min(above, below) + .05);
}));
"""


def test_it_can_be_read_without_scripts(browser, page):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        opened = Opened(browser, page)
        panels = opened.all("#classes .panel")
        assert len(panels) == 2
        assert all(panel.is_displayed() for panel in panels)
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
