"""Pictures of pages for the documents: python tests/page/screenshots.py, after `make city` and the
sweep of drafts of docs/page.md. Needs Chromium, as the tests of pages do."""

import io
from pathlib import Path

from browser import browsing
from PIL import Image

DOCS = Path("docs")
WIDTH = 720  # of a picture, in pixels
SHOTS = {
    "page.webp": ("outputs/city/index.html", ("#slider", "30"), {"width": 900, "height": 860}),
    "sweep.webp": ("outputs/city/sweep.html", ("#slider", "450"), {"width": 900, "height": 620}),
}


def draw():
    """Write every picture whose page is there."""
    with browsing() as opened:
        for name, (page, (selector, value), viewport) in SHOTS.items():
            if not Path(page).exists():
                print(f"{page} is not there")
                continue
            seen = opened(Path(page).resolve(), viewport=viewport)
            seen.page.locator(selector).fill(value)
            seen.page.wait_for_timeout(500)
            shot = Image.open(io.BytesIO(seen.page.screenshot())).convert("RGB")
            size = (WIDTH, round(shot.height * WIDTH / shot.width))
            shot.resize(size, Image.Resampling.LANCZOS).save(DOCS / name, quality=80, method=6)
            print(DOCS / name)


if __name__ == "__main__":
    draw()
