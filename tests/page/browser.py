"""A real browser for tests of pages: Chromium, where the machine has one, by playwright."""

import contextlib
import io
import shutil

import numpy as np
import pytest
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium():
    """The path of Chromium; skips the test where there is none."""
    pytest.importorskip("playwright", reason="pip install playwright")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or pytest.skip("no Chromium here")


class Seen:
    """A page that is open, with all that it asked for and complained of."""

    def __init__(self, page):
        self.page, self.complaints, self.requests = page, [], []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda request: self.complaints.append(request.url))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))

    def pixels(self, selector):
        """The pixels of an element as they are shown."""
        return np.asarray(Image.open(io.BytesIO(self.page.locator(selector).screenshot())))


@contextlib.contextmanager
def browsing():
    """Opens pages from the disk: `opened(path, **context)`."""
    program = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])

        def opened(path, **context):
            page = browser.new_page(**context)
            seen = Seen(page)
            page.goto(path.as_uri())
            page.wait_for_load_state("networkidle")
            return seen

        yield opened
        browser.close()
