"""The page in a real browser: it runs without errors, asks for nothing, and answers to clicks."""

from __future__ import annotations

import json
import shutil

import pytest

import zoo
from tests.helpers.named_digits import CLASSES

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver")
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    chrome, driver = next(filter(None, found), None), shutil.which("chromedriver")
    if not chrome or not driver:
        pytest.fail("chromium and chromedriver are needed: apt-get install chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chrome
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(driver)
    running = webdriver.Chrome(options=options, service=service)
    yield running
    running.quit()


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


def test_galleries_open_with_what_speaks_for_either_class(opened):
    opened.click("#mistakes .shots button.view")
    assert opened.one("dialog").get_property("open")
    words = opened.one("dialog .words").text
    assert " called " in words
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
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    opened.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    assert opened.run("return document.documentElement.scrollWidth") == 390
    opened.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_other_pages_run_without_errors(browser, trained, tmp_path):
    both = zoo.Run(trained[0].path.parent / "both")
    for given in ([*trained], [both]):
        opened = Opened(browser, zoo.report(given, output=tmp_path))
        assert opened.all("table")
        opened.check()


def test_it_can_be_read_without_scripts(browser, page):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        opened = Opened(browser, page)
        panels = opened.all("#classes .panel")
        assert len(panels) == 2
        assert all(panel.is_displayed() for panel in panels)
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
