"""The truth of examples/posteriors' logistic regression: NumPyro's NUTS on the same made data, in f64. Prints logistic_truth.rs."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.diagnostics import summary
from numpyro.infer import MCMC, NUTS

ROWS, COLUMNS, PRIOR_SD = 1_000, 25, 2.5
CHAINS, DRAWS = 4, 25_000
MASK = (1 << 64) - 1


def uniforms():
    """SplitMix64."""
    state = 0
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield ((z ^ (z >> 31)) >> 11) / (1 << 53)


def data():
    """The same as in examples/posteriors/stress.rs."""
    uniform = uniforms()
    x, y = np.ones((ROWS, COLUMNS)), np.zeros(ROWS, int)
    for row in range(ROWS):
        for j in range(1, COLUMNS):
            new = math.sqrt(12) * (next(uniform) - 0.5)
            x[row, j] = new if j == 1 else 0.6 * x[row, j - 1] + 0.8 * new
        logit = sum(0.5 * (j % 5 - 2) * x[row, j] for j in range(COLUMNS))
        y[row] = next(uniform) < 1 / (1 + math.exp(-logit))
    return x, y


def model(x, y):
    beta = numpyro.sample("beta", dist.Normal(0, PRIOR_SD).expand([COLUMNS]).to_event(1))
    numpyro.sample("y", dist.Bernoulli(logits=x @ beta), obs=y)


def main():
    jax.config.update("jax_enable_x64", True)
    numpyro.set_host_device_count(CHAINS)
    x, y = data()
    mcmc = MCMC(NUTS(model), num_warmup=1_000, num_samples=DRAWS, num_chains=CHAINS, progress_bar=False)
    mcmc.run(jax.random.key(0), jnp.asarray(x), jnp.asarray(y))
    beta = np.asarray(mcmc.get_samples(group_by_chain=True)["beta"])
    figures = summary({"beta": beta})["beta"]
    print(f"//! {CHAINS} chains of {DRAWS:,} draws of NumPyro {numpyro.__version__}'s NUTS (benches/peers/logistic_reference.py):")
    print(f"//! effective draws {figures['n_eff'].min():,.0f} and more, R-hat {figures['r_hat'].max():.4f} and less.\n")
    for name, values in (("MEAN", beta.mean((0, 1))), ("SD", beta.std((0, 1)))):
        print(f"pub const {name}: [f64; {COLUMNS}] = [")
        print("".join(f"    {value:.6f},\n" for value in values) + "];")


if __name__ == "__main__":
    main()
