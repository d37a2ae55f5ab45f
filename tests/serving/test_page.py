"""The page of a server in a real browser: photos go in, answers come out, names stay text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.helpers.named_digits import CLASSES, write_named_digits
from tests.helpers.server import served
from zoo.runs import Run

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(folder / "cache"))
        patch.setenv("ZOO_RUNS", str(folder / "runs"))
        data = write_named_digits(folder / "data")
        yield zoo.finetune("cnn", data, name="one", size=16, filters=4, blocks=1, epochs=1)


def wait(browser: Any, script: str) -> Any:
    from selenium.webdriver.support.wait import WebDriverWait  # not installed with the other tests

    return WebDriverWait(browser, 30).until(lambda _: browser.execute_script(f"return {script}"))


@pytest.mark.parametrize("token", [None, "sesame"])
def test_photos_are_answered_and_names_are_text(
    token: str | None, run: Run, browser: Any, tmp_path: Path
) -> None:
    photos = sorted(Path(run.record["data"]["root"]).rglob("*.png"))[:2]
    text = tmp_path / "notes.txt"
    text.write_text("no photo")
    with served(run, token=token) as client:
        browser.get(f"http://127.0.0.1:{client.port}/")
        if token:
            browser.find_element("id", "secret").send_keys(token)
            browser.find_element("css selector", "#token button").click()
        files = browser.find_element("id", "files")
        files.send_keys("\n".join(map(str, [*photos, text])))
        wait(browser, "document.querySelectorAll('.answer').length === 3")
        heads = [e.text for e in browser.find_elements("css selector", ".answer h2")]
        wanted = run.predict(photos).labels
        assert heads == ["No answer", *wanted[::-1]] and set(wanted) <= set(CLASSES)
        assert (
            "notes.txt is no usable image" in browser.find_element("css selector", ".trouble").text
        )
        names = [e.text for e in browser.find_elements("css selector", ".answer .file")]
        assert names == ["notes.txt", photos[1].name, photos[0].name]
        button = browser.find_element("css selector", ".answer .acts button")
        button.click()
        wait(browser, "document.querySelector('.heat')?.naturalWidth > 0")
        assert button.get_attribute("aria-pressed") == "true"
        button.click()
        assert not browser.find_element("css selector", ".heat").is_displayed()
        curl = browser.find_element("id", "curl").text
        assert f"http://127.0.0.1:{client.port}/predict" in curl and ("$TOKEN" in curl) == bool(
            token
        )
        severe = [m for m in browser.get_log("browser") if "422" not in m["message"]]
        assert severe == []


def test_without_the_token_the_page_says_so(run: Run, browser: Any) -> None:
    photo = next(Path(run.record["data"]["root"]).rglob("*.png"))
    with served(run, token="sesame") as client:
        browser.get(f"http://127.0.0.1:{client.port}/")
        browser.execute_script("sessionStorage.clear()")
        browser.refresh()
        browser.find_element("id", "files").send_keys(str(photo))
        wait(browser, "document.querySelector('.trouble')?.textContent.includes('wants a token')")


@pytest.mark.parametrize("width", [1300, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_fits(width: int, scheme: str, run: Run, browser: Any) -> None:
    axe = pytest.importorskip("axe_core_python.selenium")
    screen = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    photo = next(Path(run.record["data"]["root"]).rglob("*.png"))
    try:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        with served(run) as client:
            browser.get(f"http://127.0.0.1:{client.port}/")
            browser.find_element("id", "files").send_keys(str(photo))
            wait(browser, "document.querySelectorAll('.answer .bars li').length === 3")
            found = axe.Axe().run(browser)
            assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found["violations"]] == []
            assert wait(browser, "document.documentElement.scrollWidth") <= width
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
