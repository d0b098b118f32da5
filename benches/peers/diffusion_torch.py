"""DDPM sampling in PyTorch on the CPU: the work of `cargo run --release --example diffusion -- --quick --sampler ddim --chains 65536`.

A network 14-128-128-2 (SiLU) with the same embedding, random weights (speed does not depend on them), ancestral steps in f32.
Prints steps of all points a second, as the example does; run both on a quiet machine.
"""

import sys
import time

import torch
from torch import nn

POINTS, STEPS, DOUBLINGS = 65_536, int(sys.argv[1]) if len(sys.argv) > 1 else 50, 6
torch.manual_seed(0)
network = nn.Sequential(nn.Linear(2 + 2 * DOUBLINGS, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 2))
betas = torch.linspace(1e-4, 0.02, 1000)
alphas = 1 - betas
bars = torch.cumprod(alphas, 0)


@torch.inference_mode()
def sample():
    x = torch.randn(POINTS, 2)
    for t in reversed(range(1000 - STEPS, 1000)):
        c, s = bars[t].sqrt(), (1 - bars[t]).sqrt()
        embedding = []
        for _ in range(DOUBLINGS):
            embedding += [c, s]
            c, s = c * c - s * s, 2 * c * s
        inputs = torch.cat([x, torch.stack(embedding).expand(POINTS, -1)], dim=1)
        noise = network(inputs)
        mean = (x - betas[t] / (1 - bars[t]).sqrt() * noise) / alphas[t].sqrt()
        x = mean + betas[t].sqrt() * torch.randn_like(x)
    return x


for _ in range(3):
    begun = time.perf_counter()
    sample()
    seconds = time.perf_counter() - begun
    print(f"{POINTS * STEPS / seconds:.3e} steps a second, {torch.get_num_threads()} threads, torch {torch.__version__}")
