"""Attributes that are replaced come back, in reverse, and nothing else is touched."""

import gc
import weakref

import pytest
import torch
from torch import nn

from render.kernels.patches import Patches


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.kind = nn.Linear(2, 2), "stock"

    def forward(self, x):
        return self.layer(x)


def state(net):
    return {name: dict(vars(module)) for name, module in net.named_modules()}


def test_everything_comes_back_as_it_was():
    net, layer = Net(), nn.Linear(2, 2)
    before, layers = state(net), dict(net._modules)
    with Patches() as patches:
        patches.replace(net, "forward", lambda x: "first")
        patches.replace(net, "forward", lambda x: "second")
        patches.replace(net, "layer", layer)
        patches.replace(net, "alias", net)
        patches.replace(net, "kind", "other")
        assert net(None) == "second"
        assert net.layer is layer
        assert net.alias is net
        assert [name for name, _ in net.named_modules()] == ["", "layer"]
    assert state(net) == before
    assert net._modules == layers


def test_settings_and_entries_come_back(monkeypatch):
    """A setting of torch is an attribute that is kept elsewhere: its owner's `vars` has it not."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    before, level, entries = dict(vars(torch.backends.cudnn)), [3], {"there": 1}
    with Patches() as patches:
        patches.switch_attribute(torch.backends.cudnn, "allow_tf32", False)
        patches.switch(lambda: level[0], lambda value: level.__setitem__(0, value), 7)
        patches.enter(entries, "there", 2)
        patches.enter(entries, "new", 3)
        assert not torch.backends.cudnn.allow_tf32
        assert [level, entries] == [[7], {"there": 2, "new": 3}]
    assert torch.backends.cudnn.allow_tf32
    assert [level, entries] == [[3], {"there": 1}]
    assert dict(vars(torch.backends.cudnn)) == before


def test_an_entry_that_someone_else_removed_stays_removed():
    entries = {}
    with Patches() as patches:
        patches.enter(entries, "new", 3)
        entries.clear()
    assert entries == {}


def test_what_was_taken_away_comes_back():
    net = Net()
    with Patches() as patches:
        patches.remove(net, "kind")
        assert not hasattr(net, "kind")
    assert net.kind == "stock"


def test_the_latest_is_undone_first():
    done, patches = [], Patches()
    for number in (1, 2, 3):
        patches.add(lambda number=number: done.append(number))
    patches.close()
    patches.close()
    assert done == [3, 2, 1]


def test_an_error_in_the_block_undoes_it_too():
    net = Net()

    def fail():
        with Patches() as patches:
            patches.replace(net, "kind", "other")
            raise ValueError(net.kind)

    with pytest.raises(ValueError, match="other"):
        fail()
    assert net.kind == "stock"


def test_a_classs_own_method_comes_back_and_an_inherited_one_is_inherited_again():
    class Kind(Net):
        @classmethod
        def made(cls):
            return cls.__name__

    own = vars(Kind)["made"]
    with Patches() as patches:
        patches.replace(Kind, "made", classmethod(lambda cls: "another"))
        patches.replace(Kind, "forward", lambda self, x: "another")
        assert (Kind.made(), Kind()(None)) == ("another", "another")
    assert vars(Kind)["made"] is own
    assert "forward" not in vars(Kind)


def test_what_a_library_adds_to_modules_goes():
    net = Net()
    before = state(net)
    with Patches() as patches:
        patches.watch(net)
        net.layer.hook, net.forward = "a hook", net.layer.forward
    assert state(net) == before


def test_no_owner_is_kept_alive():
    net, patches = Net(), Patches()
    patches.replace(net, "alias", net)
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None
    patches.close()
