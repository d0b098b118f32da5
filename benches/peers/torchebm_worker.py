"""torchebm: its own double well model under its own samplers (it has no Metropolis kernels but HMC)."""

from importlib.metadata import version

import torch
from torchebm.core import DoubleWellModel
from torchebm.samplers import HamiltonianMonteCarlo, LangevinDynamics

import worker


class Runner:
    def __init__(self, case, x):
        step_size = worker.STEP_SIZES[case["energy"], case["kernel"]]
        model = DoubleWellModel(barrier_height=1.0)
        self.is_hmc = case["kernel"] == "hmc10"
        if self.is_hmc:
            self.sampler = HamiltonianMonteCarlo(model, step_size=step_size, n_leapfrog_steps=10)
        else:
            # x - h grad E + sqrt(2 h) z.
            self.sampler = LangevinDynamics(model, step_size=step_size)
        self.x = torch.from_numpy(x)

    def advance(self, steps):
        self.x = self.sampler.sample(x=self.x, n_steps=steps)

    def acceptance(self):
        if not self.is_hmc:
            return 1.0
        # Beside the timed run: its diagnostics cost time that the others do not spend.
        _, diagnostics = self.sampler.sample(x=self.x, n_steps=20, return_diagnostics=True)
        return float(diagnostics["acceptance_rate"].mean())

    def mean_square(self):
        return float((self.x**2).mean())


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.ones(2).add_(1)
    worker.serve(f"torchebm {version('torchebm')}, PyTorch {torch.__version__}, {torch.get_num_threads()} threads", Runner)
