"""The program killed in the middle of its work, at the same moment however fast the machine is."""

import os
import signal
import subprocess
import sys
import time

from tests._conventions import PROJECT

# The program itself, but with small parts; after some of them it stops for good in the middle of
# writing the next.
_STALLING = """
import sys, time
from training import {module}
from training._parts import Parts
from training.cli import main

{module}._PART = {part}
save, saved = Parts.save, []

def stalling(self, number, arrays):
    if len(saved) == {whole}:
        (self.folder / "torn.tmp.npz").write_bytes(b"PK half of a part")
        time.sleep(600)
    save(self, number, arrays)
    saved.append(number)

Parts.save = stalling
main(sys.argv[1:])
"""


def kill_while(arguments, parts, whole, *, module, part):
    """Kills a command once `whole` parts are on disk and the next is being written.

    `part` is the size of a part that `training.<module>` is told to have.
    """
    program = _STALLING.format(module=module, part=part, whole=whole)
    kill_at(["-c", program, *map(str, arguments)], parts / "torn.tmp.npz")


def kill_at(arguments, sign):
    """Kills Python with these arguments as soon as the file `sign` is there."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        limit = time.monotonic() + 300
        while not sign.exists():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < limit, "the program did not come as far as the kill"
            time.sleep(0.05)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
