"""A machine of another name, or a container of the same: namespaces of their own for a command."""

import os
import subprocess

ROOT = [] if os.geteuid() == 0 else ["--map-root-user"]
CONTAINER = ["unshare", *ROOT, "--pid", "--fork"]
"""Its processes have numbers of their own, from 1; its host name is ours."""
ELSEWHERE = ["unshare", *ROOT, "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"]
"""Another host name."""


def reason_for_none() -> str:
    """Why there can be no namespaces here; nothing if there can."""
    for prefix in (CONTAINER, ELSEWHERE):
        try:
            tried = subprocess.run([*prefix, "true"], capture_output=True, text=True)
        except FileNotFoundError as error:
            return str(error)
        if tried.returncode:
            return f"no namespaces here: {tried.stderr.strip()}"
    return ""
