"""Measured paces that the store keeps for later runs."""

from render.store.time_maps import remember, remembered
from render.timeline.pace import TimeMap

FIRST = TimeMap((0.0, 0.5, 1.0), (0.0, 0.25, 1.0))
LATER = TimeMap((0.0, 0.5, 1.0), (0.0, 0.250001, 1.0))


def test_a_map_that_films_were_planned_by_is_not_replaced(tmp_path):
    remember(tmp_path, {"a": FIRST})
    remember(tmp_path, {"a": LATER, "b": LATER})
    assert remembered(tmp_path) == {"a": FIRST, "b": LATER}
