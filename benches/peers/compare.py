"""Runs the same work in ergodic, BlackJAX and torchebm, in turn, and prints the ratios.

The libraries take turns within every row (A B C A B C ...), so that whatever else the machine does disturbs them alike; a ratio
is the median over rounds of the ratio within the round. A row is only the same work if both accept equally often (to 0.01) and
stand at the same law (mean square of the coordinates to 2 %): otherwise it is marked, and the exit status is 1.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

import precision

HERE = Path(__file__).resolve().parent
BLACKJAX, TORCHEBM = "BlackJAX", "torchebm"


def row(energy, dim, chains, kernel, *peers):
    return {"energy": energy, "dim": dim, "kernel": kernel, "chains": chains}, peers


ROWS = [
    *(row("mixture8", 2, 65_536, kernel, BLACKJAX) for kernel in ("rwm", "mala", "hmc10")),
    *(row("mixture8", 10, 16_384, kernel, BLACKJAX) for kernel in ("rwm", "mala", "hmc10")),
    *(row("mixture8", 32, 4_096, kernel, BLACKJAX) for kernel in ("rwm", "mala", "hmc10")),
    row("double_well", 2, 65_536, "ula", TORCHEBM),
    row("double_well", 2, 65_536, "mala", BLACKJAX),
    row("double_well", 2, 65_536, "hmc10", BLACKJAX, TORCHEBM),
    row("double_well", 128, 1_024, "ula", TORCHEBM),
    row("double_well", 128, 1_024, "mala", BLACKJAX),
    row("double_well", 128, 1_024, "hmc10", BLACKJAX, TORCHEBM),
]


def throughput(*arguments):
    return ["cargo", "bench", "--quiet", "--bench", "throughput", "--", *arguments]


def first_sample(case):
    """ergodic's seconds to the first sample, in a process of its own without the driver's cache of compiled shaders on disk.

    Only there: Mesa 22.3 without that cache compiles again at every dispatch.
    """
    env = {**os.environ, "MESA_SHADER_CACHE_DISABLE": "true", "__GL_SHADER_DISK_CACHE": "0"}
    command = throughput("--first-sample", json.dumps(case))
    return float(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout)


class Worker:
    """A process that answers a case with a timed run."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.adapter = self.read()["adapter"]

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(map(str, self.process.args))} ended with status {self.process.wait()}")
        return json.loads(line)

    def run(self, case):
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        return self.read()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def first_line(path, key):
    """The value of a `key : value` line, as /proc/cpuinfo has."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), platform.machine())


def compare(case, peers, workers, rounds):
    """One row of results: rates of all, and the ratio to each peer."""
    names = ("ergodic", *peers)
    runs = {name: [] for name in names}
    for name in names:
        workers[name].run(case)  # builds and compiles; its run is not counted
    for _ in range(rounds):
        for name in names:
            runs[name].append(workers[name].run(case))
    result = dict(case)
    for name in names:
        rates = [run["transitions_per_second"] for run in runs[name]]
        result[name] = {
            "transitions_per_second": statistics.median(rates),
            "transitions_per_second_min": min(rates),
            "transitions_per_second_max": max(rates),
            "acceptance": statistics.mean(run["acceptance"] for run in runs[name]),
            "mean_square": statistics.mean(run["mean_square"] for run in runs[name]),
        }
        if name != "ergodic":
            result[name]["first_sample_seconds"] = runs[name][0]["first_sample_seconds"]
    own = result["ergodic"]
    own["first_sample_seconds"] = first_sample(case)
    for name in peers:
        peer = result[name]
        ratios = [a["transitions_per_second"] / b["transitions_per_second"] for a, b in zip(runs["ergodic"], runs[name])]
        peer["ratio"] = statistics.median(ratios)
        peer["ratio_min"], peer["ratio_max"] = min(ratios), max(ratios)
        peer["same_work"] = (
            abs(own["acceptance"] - peer["acceptance"]) <= 0.01
            and abs(own["mean_square"] / peer["mean_square"] - 1) <= 0.02
        )
    return result


def table(results):
    """Markdown."""
    lines = [
        "| energy | dim | chains | kernel | peer | ergodic, M transitions/s | peer, M transitions/s | ratio (min–max) "
        "| acceptance | first sample, s |",
        "|---|--:|--:|---|---|--:|--:|--:|--:|--:|",
    ]
    for result in results:
        own = result["ergodic"]
        for name in (BLACKJAX, TORCHEBM):
            if name in result:
                peer = result[name]
                mark = "" if peer["same_work"] else " **not the same work**"
                lines.append(
                    f"| {result['energy']} | {result['dim']} | {result['chains']:,} | {result['kernel']} | {name} "
                    f"| {own['transitions_per_second'] / 1e6:.3g} | {peer['transitions_per_second'] / 1e6:.3g} "
                    f"| {peer['ratio']:.1f} ({peer['ratio_min']:.1f}–{peer['ratio_max']:.1f}){mark} "
                    f"| {own['acceptance']:.3f} / {peer['acceptance']:.3f} "
                    f"| {own['first_sample_seconds']:.2f} / {peer['first_sample_seconds']:.2f} |"
                )
    return "\n".join(lines)


def write(path, figures):
    """Writes the figures, where a file is wanted."""
    if path:
        path.write_text(json.dumps(figures, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(prog="benches/peers/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds of the main rows")
    parser.add_argument("--precision", action="store_true", help="the time to a precision alone (precision.py)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="writes the figures to a file")
    arguments = parser.parse_args()
    # All rows of a shape or none, so that --quick still shows every library.
    rows = [entry for entry in ROWS if entry[0]["dim"] == 2] if arguments.quick else ROWS
    rounds = 3 if arguments.quick else 7
    hardware = f"{first_line('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores; {platform.system()} {platform.release()}"
    figures = {"rounds": rounds}
    if arguments.precision:
        print(hardware + "\n", flush=True)
        figures |= {"about": [hardware], "precision": precision.measure(rounds)}
        write(arguments.json, figures)
        return 0

    workers = {
        "ergodic": Worker(throughput("--serve")),
        BLACKJAX: Worker([sys.executable, HERE / "blackjax_worker.py"]),
        TORCHEBM: Worker([sys.executable, HERE / "torchebm_worker.py"]),
    }
    about = [hardware, *(worker.adapter for worker in workers.values())]
    print("\n".join(about) + "\n", flush=True)

    results = []
    for at, (case, peers) in enumerate(rows, 1):
        if sys.stderr.isatty():
            print(f"\r\x1b[K{at}/{len(rows)} {case}", end="", file=sys.stderr, flush=True)
        results.append(compare(case, peers, workers, rounds))
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    print(table(results))
    figures |= {"about": about, "rows": results}
    write(arguments.json, figures)
    # Only now: the workers above would disturb it.
    for worker in workers.values():
        worker.end()
    print("\nTime to a precision:\n", flush=True)
    figures["precision"] = precision.measure(rounds)
    write(arguments.json, figures)
    same = all(result[name]["same_work"] for result in results for name in (BLACKJAX, TORCHEBM) if name in result)
    if not same:
        print("A row is marked: the two sides did not do the same work there.", file=sys.stderr)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
