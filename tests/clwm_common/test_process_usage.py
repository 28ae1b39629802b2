"""What a process frees stays with it where that was asked for."""

import platform
import subprocess
import sys

import pytest

FREED_AGAIN_AND_AGAIN = """
import resource
import numpy as np
from clwm_common.process_usage import keep_freed_memory

if {is_kept}:
    keep_freed_memory()
faults = []
for _ in range(6):
    several = [np.ones(8 << 20, np.uint8) for _ in range(4)]
    del several
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[-1] - faults[2])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than glibc's")
def test_memory_that_is_freed_and_taken_again_is_not_asked_for_page_by_page_where_it_is_kept():
    def faults(is_kept):
        program = [sys.executable, "-c", FREED_AGAIN_AND_AGAIN.format(is_kept=is_kept)]
        return int(subprocess.run(program, check=True, capture_output=True, text=True).stdout)

    # Of 4 kB or, where the system hands out huge ones, 2 MB.
    kept, given_back = faults(True), faults(False)
    assert kept < 10 and given_back > kept + 20, (kept, given_back)
