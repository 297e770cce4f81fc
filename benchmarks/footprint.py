"""Cold start and memory of the embedded judge.

    python -m benchmarks.footprint

Each run is a process of its own: `magistrate judge` on one short text, and a library call on 2,000 texts of about 120
tokens. Bars: the first within a second of the start of Python, the second under 400 MB at its peak.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time

RUNS = 9
COLD_BAR_S, MEMORY_BAR_MB = 1.0, 400
JUDGE = [sys.executable, "-m", "magistrate", "judge", "--policy", "spam", "Where is my order?"]
MANY = """
import resource
from benchmarks.encoder_throughput import POLICY, join_texts
from tokenizers import Tokenizer
from magistrate import Judge, Policy
from magistrate.encoders.model_folder import ASSETS, TOKENIZER
tokenizer = Tokenizer.from_file(str(ASSETS / TOKENIZER))
tokenizer.no_padding()
tokenizer.no_truncation()
texts = join_texts(tokenizer, 2000)
with Judge() as judge:
    judge.judge_many(Policy.parse(POLICY, name="marketplace"), texts)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    """Measure and print."""
    subprocess.run(JUDGE, check=False, capture_output=True)
    times: list[float] = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run(JUDGE, check=False, capture_output=True)
        times.append(time.perf_counter() - started)
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"one text, from the start of the process: {min(times):.2f} {statistics.median(times):.2f} {max(times):.2f} s"
    )
    print(f"  (least, median, most of {RUNS}; promised: {COLD_BAR_S} s); peak memory {peak_mb:.0f} MB")
    done = subprocess.run([sys.executable, "-c", MANY], check=True, capture_output=True, text=True)
    print(f"2,000 texts under 12 rules: peak memory {float(done.stdout):.0f} MB (promised: {MEMORY_BAR_MB} MB)")


if __name__ == "__main__":
    main()
