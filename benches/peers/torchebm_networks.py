"""Milliseconds of a training step in torchebm, as benches/networks measures them in ergodic: one line of JSON."""

import json
import statistics
import time

import torch
from torch import nn
from torchebm.core import BaseModel
from torchebm.losses import ContrastiveDivergence, DenoisingScoreMatching, ScoreMatching, SlicedScoreMatching
from torchebm.samplers import LangevinDynamics

BATCH, SECONDS = 1024, 2.0


class Mlp(BaseModel):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 1))

    def forward(self, x):
        return self.layers(x).squeeze(-1)


def loss_of(name, model):
    if name == "cd20":
        return ContrastiveDivergence(model, LangevinDynamics(model, step_size=0.01), k_steps=20)
    if name == "dsm":
        return DenoisingScoreMatching(model, noise_scale=0.1)
    if name == "ssm":
        return SlicedScoreMatching(model)  # five projections, its own number
    if name == "ssm1":
        return SlicedScoreMatching(model, n_projections=1)
    return ScoreMatching(model, hessian_method="exact")


def measure(name):
    model = Mlp()
    loss = loss_of(name, model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step():
        value = loss(4 * torch.rand(BATCH, 2) - 2)
        value = value[0] if isinstance(value, tuple) else value
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    for _ in range(3):
        step()
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        begun = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - begun))
    return statistics.median(times)


torch.manual_seed(0)
print(json.dumps({name: measure(name) for name in ("cd20", "dsm", "ssm", "ssm1", "ism")}))
