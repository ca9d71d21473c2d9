"""Traps on a process's path: what must not be imported or called drops a canary and raises."""

import os
import pickle
from pathlib import Path

DROP = "open({canary!r}, 'w').close()\n"


def torch_canary(site) -> Path:
    return site.logs / "torch-was-imported"


def trap_torch(site) -> Path:
    """A folder with a `torch` of its own."""
    folder = site.logs / "trap-torch"
    (folder / "torch").mkdir(parents=True)
    code = DROP.format(canary=str(torch_canary(site))) + "raise ImportError('the trap')\n"
    (folder / "torch" / "__init__.py").write_text(code)
    return folder


def network_canary(site) -> Path:
    return site.logs / "network-was-called"


def trap_network(site) -> Path:
    """A folder whose sitecustomize refuses every connection and every question for a name."""
    folder = site.logs / "trap-network"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(f"""import socket
def refuse(*arguments, **options):
    {DROP.format(canary=str(network_canary(site))).strip()}
    raise OSError("the trap")
socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = refuse
socket.create_connection = socket.getaddrinfo = refuse
""")
    return folder


class Payload:
    """Makes a folder when unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self):
        return os.mkdir, (str(self.made),)


def pickled(made: Path) -> bytes:
    """A pickle that runs code when someone opens it."""
    return pickle.dumps(Payload(made))
