"""The place that every fault test calls `render` in."""

import pytest
from outside import Site


@pytest.fixture
def site(tmp_path):
    """Afterwards no process may be left and nothing outside of the site's folder changed."""
    site = Site(tmp_path)
    yield site
    site.close()
