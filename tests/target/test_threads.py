from __future__ import annotations

import json
import os
import subprocess
import sys

LOOK = """
import json
from target.regression.threads import one_thread
with one_thread():
    import scipy.linalg
    from threadpoolctl import threadpool_info
    print(json.dumps([each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]))
"""


def test_all_linear_algebra_has_one_thread_although_scipy_was_not_loaded() -> None:
    unlimited = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    said = subprocess.run([sys.executable, "-c", LOOK], env=unlimited, capture_output=True, text=True, check=True)

    threads = json.loads(said.stdout)
    assert len(threads) == 2, "NumPy's and SciPy's"
    assert set(threads) == {1}
