"""Seconds from the start of a process until the mean of every parameter is known to 1 % of its standard deviation.

Eight schools (non-centred) and the mixture of 8, in ergodic, NumPyro (NUTS, two chains in parallel) and BlackJAX (ChEES, 256 chains),
which take turns. Everything counts: loading, opening the device, adaptation and compilation, for which nobody finds a cache: each
process of ergodic has an empty folder for the driver's compiled shaders, and JAX's cache is off. The peers are given as many draws as they
need on eight schools and stop there, and what they compute of their draws afterwards is not counted; ergodic finds out by itself when to
stop, and its time is that of the whole process.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ERGODIC = HERE.parents[1] / "target/release/examples/posteriors"
GOAL = 0.01
# Draws of each chain: on eight schools as few as reach the goal, on the ring what 2 x 10,000 and 256 x 200 reach.
PEERS = {
    "NumPyro": ("numpyro_precision.py", {"eight_schools": 7_500, "ring": 10_000}),
    "BlackJAX": ("blackjax_precision.py", {"eight_schools": 120, "ring": 200}),
}


def ergodic(problem, seed):
    """One run: seconds, and what the draws are worth."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        env = {**os.environ, "MESA_SHADER_CACHE_DIR": folder, "__GL_SHADER_DISK_CACHE": "0"}
        begun = time.perf_counter()
        done = subprocess.run(
            [ERGODIC, problem, "--seed", str(seed), "--goal", str(GOAL), "--json", file], env=env, capture_output=True, text=True
        )
        seconds = time.perf_counter() - begun
        if not file.exists():
            raise SystemExit(f"ergodic: {done.stderr}")
        rows = json.loads(file.read_text())
    found = {"mcse_over_sd": max(row["mcse_mean"] / row["sd"] for row in rows), "chains": rows[0]["chains"], "draws": rows[0]["draws"]}
    if problem == "ring":
        found["mean_off"] = max(abs(row["mean"]) for row in rows) / 8.25**0.5
    return seconds, found


def peer(name, problem, seed):
    """One run: seconds until the draws are there, and what they are worth."""
    worker, draws = PEERS[name]
    env = {key: value for key, value in os.environ.items() if not key.startswith("JAX_COMPILATION_CACHE")}
    command = [sys.executable, HERE / worker, problem, str(draws[problem]), str(seed)]
    begun = time.perf_counter()
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        drawn = process.stdout.readline()
        seconds = time.perf_counter() - begun
        found = process.stdout.read()
    if drawn != "drawn\n" or process.returncode != 0:
        raise SystemExit(f"{worker} ended with status {process.returncode}")
    return seconds, json.loads(found)


def compare(problem, rounds):
    """The sides take turns; a ratio is the median over rounds of the ratio within the round."""
    runs = {name: [] for name in ("ergodic", *PEERS)}
    for seed in range(1, rounds + 1):
        runs["ergodic"].append(ergodic(problem, seed))
        for name in PEERS:
            runs[name].append(peer(name, problem, seed))
    result = {"problem": problem}
    for name, of_name in runs.items():
        seconds = [s for s, _ in of_name]
        result[name] = {
            "seconds": statistics.median(seconds),
            "seconds_min": min(seconds),
            "seconds_max": max(seconds),
            **{key: max(found[key] for _, found in of_name) for key in of_name[0][1]},
        }
        if name != "ergodic":
            ratios = [other / own for (own, _), (other, _) in zip(runs["ergodic"], of_name)]
            result[name]["ratio"] = statistics.median(ratios)
            result[name]["ratio_min"], result[name]["ratio_max"] = min(ratios), max(ratios)
    return result


def table(results):
    """Markdown; what the draws are worth is that of the worst round."""
    lines = ["| target | library | s (min–max) | ratio (min–max) | MCSE/sd | mean off, sd | modes off |", "|---|---|--:|--:|--:|--:|--:|"]
    for result in results:
        for name in ("ergodic", *PEERS):
            run = result[name]
            ratio = f"{run['ratio']:.1f} ({run['ratio_min']:.1f}–{run['ratio_max']:.1f})" if "ratio" in run else ""
            missed = "" if run["mcse_over_sd"] <= 1.1 * GOAL else " **not reached**"
            off = "".join(f"| {run[key]:.3f} " if key in run else "| " for key in ("mean_off", "modes_off"))
            lines.append(
                f"| {result['problem']} | {name} | {run['seconds']:.2f} ({run['seconds_min']:.2f}–{run['seconds_max']:.2f}) "
                f"| {ratio} | {run['mcse_over_sd']:.4f}{missed} {off}|"
            )
    return "\n".join(lines)


def measure(rounds):
    """Both targets, printed and returned."""
    results = [compare(problem, rounds) for problem in ("eight_schools", "ring")]
    print(table(results), flush=True)
    return results
