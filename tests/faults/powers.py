"""A user without root's powers over closed files, also where the tests run as root."""

import os
import subprocess

WITHOUT_POWERS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []


def reason_for_none() -> str:
    """Why there can be no such user here; nothing if there can."""
    try:
        tried = subprocess.run([*WITHOUT_POWERS, "true"], capture_output=True, text=True)
    except FileNotFoundError as error:
        return str(error)
    return f"root keeps its powers here: {tried.stderr.strip()}" if tried.returncode else ""
