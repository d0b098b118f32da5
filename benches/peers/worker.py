"""What the Python workers share: a case in (a line of JSON), one timed run out, so that libraries can take turns.

The same protocol as `throughput --serve`, with the same starts and the same rule for the length of a run.
"""

import json
import math
import sys
import time

import numpy as np

LEAST = 0.2  # seconds of a timed run
MEANS = [(4 * math.cos(math.tau * j / 8), 4 * math.sin(math.tau * j / 8)) for j in range(8)]
SD = 0.5

# (energy, kernel) -> step size; hmc10 takes ten leapfrog steps. As in benches/throughput/case.rs.
STEP_SIZES = {
    ("mixture8", "rwm"): 0.5,
    ("mixture8", "mala"): 0.1,
    ("mixture8", "hmc10"): 0.15,
    ("double_well", "rwm"): 0.5,
    ("double_well", "ula"): 0.05,
    ("double_well", "mala"): 0.05,
    ("double_well", "hmc10"): 0.1,
}


def means(dim):
    """Means of the mixture's components, [component][dim]."""
    m = np.zeros((8, dim), np.float32)
    m[:, :2] = MEANS
    return m


def start(case):
    """Exact draws of the target, [chain][dim]: acceptance means something from the first step on."""
    shape = (case["chains"], case["dim"])
    rng = np.random.default_rng(1)
    if case["energy"] == "mixture8":
        x = means(case["dim"])[np.arange(case["chains"]) % 8] + SD * rng.standard_normal(shape)
    else:
        # By the inverse of the distribution function of exp(-(x^2 - 1)^2) on a fine grid.
        grid = np.linspace(-3, 3, 100_001)
        cdf = np.cumsum(np.exp(-((grid**2 - 1) ** 2)))
        x = np.interp(rng.random(shape), cdf / cdf[-1], grid)
    return x.astype(np.float32)


def timed(call, *args):
    begun = time.perf_counter()
    result = call(*args)
    return time.perf_counter() - begun, result


def serve(adapter, build):
    """Answers requests. `build(case)` gives an object with `advance(steps)`, which runs to the end and may compile at the
    first call with a number of steps, `acceptance()` and `mean_square()`."""
    print(json.dumps({"adapter": adapter}), flush=True)
    built, runner, steps, first_sample = None, None, 1, 0.0
    for line in sys.stdin:
        case = json.loads(line)
        if case != built:
            x = start(case)

            def first(case=case, x=x):
                runner = build(case, x)
                runner.advance(1)
                return runner

            first_sample, runner = timed(first)
            built, steps = case, 1
            while True:
                runner.advance(steps)  # compiles
                seconds, _ = timed(runner.advance, steps)
                if seconds >= 1.1 * LEAST:
                    break
                # Fewer compilations than by doubling: aim straight at the time.
                steps = math.ceil(steps * min(max(1.4 * LEAST / seconds, 1.5), 64))
        seconds, _ = timed(runner.advance, steps)
        reply = {
            "steps": steps,
            "seconds": seconds,
            "transitions_per_second": steps * case["chains"] / seconds,
            "acceptance": runner.acceptance(),
            "mean_square": runner.mean_square(),
            "first_sample_seconds": first_sample,
        }
        print(json.dumps(reply), flush=True)
