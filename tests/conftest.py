"""What holds for all tests: one thread a process, since the suite runs on every core and waiting threads spin."""

import os

os.environ["OMP_NUM_THREADS"] = (
    "1"  # read by torch when it is first imported, here and in the processes that tests start
)
