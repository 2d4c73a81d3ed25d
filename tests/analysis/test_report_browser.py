"""The page of a report in headless Chromium: no complaints, no requests, every figure visible, nothing too wide.

The browser is driven through a pair of pipes (its DevTools protocol, messages that end in a zero byte), which needs
nothing beyond the standard library.
"""

from __future__ import annotations

import base64
import io
import json
import os
import select
import shutil
import subprocess
import time
from itertools import count

import numpy as np
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 120.0  # seconds, for a machine that does much else
WIDTHS = (400, 1400)
OPENED = """
document.querySelectorAll('details').forEach(d => { d.open = true });
"""
MEASURE = """
(() => {
  const box = e => { const r = e.getBoundingClientRect(); return [r.left, r.right, r.width, r.height] };
  return JSON.stringify({
    images: [...document.images].map(i => ({
      loaded: i.complete && i.naturalWidth > 0, box: box(i), visible: i.checkVisibility(), alt: i.alt })),
    page: document.documentElement.scrollWidth, window: window.innerWidth,
    outside: [...document.body.querySelectorAll('*')]
      .filter(e => !e.closest('.scroll *, pre *, .skip') && e.getBoundingClientRect().right > window.innerWidth + 0.5)
      .map(e => e.outerHTML.slice(0, 80)),
    colours: [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color],
  });
})()
"""


class Chromium:
    """A headless browser with one page."""

    def __init__(self, binary, profile):
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        self.events, self._ids, self._buffer = [], count(1), b""
        # the browser reads from 3 and writes to 4; the shell puts the pipes there
        script = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
                   "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]  # fmt: skip
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", binary, *options], pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        target = self._call("Target.createTarget", {"url": "about:blank"})["targetId"]
        self._session = self._call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def close(self):
        os.close(self._out)  # at the end of its pipe the browser goes
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)

    def send(self, method, **params):
        return self._call(method, params, self._session)

    def _call(self, method, params, session=None):
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _receive(self):
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(end - time.monotonic(), 0.0))
            part = os.read(self._in, 1 << 20) if ready else b""
            assert part, "the browser does not answer"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def evaluate(self, expression):
        found = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def open(self, path, width, scheme="light"):
        """Load a page and wait until its pictures are decoded."""
        self.events.clear()
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.send("Page.navigate", url=path.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())
        self.evaluate("Promise.allSettled([...document.images].map(i => i.decode()))")

    def complaints(self):
        """What the console says, and exceptions."""
        said = []
        for event in self.events:
            params = event.get("params", {})
            if event.get("method") == "Log.entryAdded":
                said.append(params["entry"]["text"])
            elif event.get("method") == "Runtime.consoleAPICalled":
                said.append(json.dumps(params["args"]))
            elif event.get("method") == "Runtime.exceptionThrown":
                said.append(json.dumps(params["exceptionDetails"]))
        return said

    def requests(self):
        """Addresses that were asked for, beside those that hold their content."""
        asked = [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [url for url in asked if not url.startswith("data:")]

    def pixels(self):
        """What is to be seen, uint8 [height, width, 4]."""
        from matplotlib.image import imread

        found = self.send("Page.captureScreenshot", format="png")["data"]
        return imread(io.BytesIO(base64.b64decode(found)), format="png")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    binary = os.environ.get("BRFKIT_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if binary is None:
        pytest.skip(f"none of {', '.join(NAMES)} is installed; BRFKIT_CHROMIUM may name a Chromium")
    found = Chromium(binary, tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def page(browser, report_folder, made_report):
    return report_folder / "report.html", made_report


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("folded", [True, False], ids=["folded", "unfolded"])
def test_page_in_a_window(browser, page, width, scheme, folded):
    path, made = page
    browser.open(path, width, scheme)
    if not folded:
        browser.evaluate(OPENED)
    found = json.loads(browser.evaluate(MEASURE))
    assert browser.complaints() == []
    assert browser.requests() == [path.as_uri()]
    assert len(found["images"]) == len(made.figures)
    for image in found["images"]:
        left, _, wide, high = image["box"]
        assert image["loaded"], image["alt"]
        assert image["visible"], image["alt"]
        assert wide >= min(200, width / 2), image["alt"]
        assert high >= 100, image["alt"]
        assert 0 <= left < width, image["alt"]
    assert found["window"] == width
    assert found["page"] <= width
    assert found["outside"] == []


def _luminance(colour):
    """Relative luminance of ``rgb(r, g, b)`` (WCAG 2.2)."""
    channels = np.array([int(part) for part in colour.strip("rgb()").split(",")]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(browser, page, scheme):
    browser.open(page[0], 1400, scheme)
    texts = ["body", "a", ".path", "dl.headline dt", "figcaption", "pre", "summary", "thead th", "td", "footer"]
    for selector in texts:
        script = """(s => { let e = document.querySelector(s), c = getComputedStyle(e).color;
          while (getComputedStyle(e).backgroundColor === 'rgba(0, 0, 0, 0)') e = e.parentElement;
          return [c, getComputedStyle(e).backgroundColor] })(%r)"""
        front, back = browser.evaluate(script % selector)
        low, high = sorted((_luminance(front), _luminance(back)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (selector, front, back)  # WCAG 2.2, level AA
        if selector == "body":
            assert (_luminance(back) > 0.5) == (scheme == "light")


def test_every_figure_shows_something(browser, page):
    """In the pixels, not in the page's own words: below each figure's frame there is ink on light paper."""
    path, made = page
    browser.open(path, 1400, "dark")
    for name in made.figures:
        script = f"""(() => {{ const i = document.querySelector('#figure-{name} img');
          i.scrollIntoView({{block: 'center'}}); const r = i.getBoundingClientRect();
          return [r.left, r.top, r.right, r.bottom] }})()"""
        left, top, right, bottom = map(round, browser.evaluate(script))
        seen = browser.pixels()[max(top, 0) : bottom, max(left, 0) : right, :3].mean(-1)
        assert (seen > 0.9).mean() > 0.3, name
        assert (seen < 0.6).mean() > 0.005, name


def test_a_bad_page_is_noticed(browser, tmp_path):
    """The measures above can fail: a page too wide, with an error, a request, and a picture that is none."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!DOCTYPE html><title>x</title><body style='margin:0'><div style='width:900px'>x</div>"
        "<img src='missing.png' alt='x'><script>throw new Error('wrong')</script>",
        encoding="utf-8",
    )
    browser.open(bad, 400)
    found = json.loads(browser.evaluate(MEASURE))
    assert found["page"] == 900
    assert found["outside"]
    assert not found["images"][0]["loaded"]
    assert any("wrong" in said for said in browser.complaints())
    assert any(url.endswith("missing.png") for url in browser.requests())
