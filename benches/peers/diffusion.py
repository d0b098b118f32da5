"""Sampling a diffusion in ergodic and in PyTorch, in turn on one machine.

`benches/peers/run diffusion [--quick] [--json FILE]` (which makes the environment and builds ergodic) takes 65,536 points in the plane
through steps of a reverse process with a network 14-128-128-2 (SiLU): `examples/diffusion.rs` by its layers on the CPU's threads, and
PyTorch with the same embedding and random weights, on which speed does not depend. A step costs the same wherever it is among the
T = 1,000, so that few of them are timed. Prints medians, and that of the ratio within a round.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

POINTS, STEPS, DOUBLINGS = 65_536, 50, 6
EXAMPLE = ["target/release/examples/diffusion", "--quick", "--sampler", "ddim", "--chains", str(POINTS), "--json"]


def ergodic():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.json"
        subprocess.run([*EXAMPLE, str(path)], check=True, capture_output=True)
        return json.loads(path.read_text())["steps_per_second"]


class PyTorch:
    def __init__(self):
        torch.manual_seed(0)
        width = 2 + 2 * DOUBLINGS
        self.network = nn.Sequential(nn.Linear(width, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 2))
        self.betas = torch.linspace(1e-4, 0.02, 1000)
        self.bars = torch.cumprod(1 - self.betas, 0)
        self.sample()

    @torch.inference_mode()
    def sample(self):
        x = torch.randn(POINTS, 2)
        for t in reversed(range(1000 - STEPS, 1000)):
            c, s = self.bars[t].sqrt(), (1 - self.bars[t]).sqrt()
            root = s
            embedding = []
            for _ in range(DOUBLINGS):
                embedding += [c, s]
                c, s = c * c - s * s, 2 * c * s
            inputs = torch.cat([x, torch.stack(embedding).expand(POINTS, -1)], dim=1)
            mean = (x - self.betas[t] / root * self.network(inputs)) / (1 - self.betas[t]).sqrt()
            x = mean + self.betas[t].sqrt() * torch.randn_like(x)
        return x

    def __call__(self):
        begun = time.perf_counter()
        self.sample()
        return POINTS * STEPS / (time.perf_counter() - begun)


def main():
    parser = argparse.ArgumentParser(prog="benches/peers/run diffusion", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds, not seven")
    parser.add_argument("--json", help="a file for the figures")
    arguments = parser.parse_args()
    peer = PyTorch()
    rounds = [(ergodic(), peer()) for _ in range(3 if arguments.quick else 7)]
    ratios = [own / other for own, other in rounds]
    own, other = (statistics.median(values) for values in zip(*rounds))
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads; {len(rounds)} rounds")
    print(f"steps a second: ergodic {own:.3e}, PyTorch {other:.3e}; ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})")
    if arguments.json:
        figures = {"points": POINTS, "rounds": rounds, "ergodic": own, "pytorch": other, "ratio": statistics.median(ratios)}
        Path(arguments.json).write_text(json.dumps(figures, indent=2) + "\n")


main()
