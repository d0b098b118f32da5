"""NumPyro's NUTS to a precision: two chains in parallel, one a core. Prints a line once the draws are there, then what they are worth."""

import json
import sys

import numpyro

numpyro.set_host_device_count(2)

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import MCMC, NUTS, init_to_uniform

import problems


def eight_schools():
    mu = numpyro.sample("mu", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("schools", 8):
        eta = numpyro.sample("eta", dist.Normal(0, 1))
        theta = numpyro.deterministic("theta", mu + tau * eta)
        numpyro.sample("y", dist.Normal(theta, jnp.asarray(problems.ERRORS)), obs=jnp.asarray(problems.EFFECTS))


def ring():
    x = numpyro.sample("x", dist.ImproperUniform(dist.constraints.real_vector, (), (2,)))
    numpyro.factor("ring", problems.ring_log_density(x))


# The starts of the ring lie in the square that holds it.
kernel = NUTS(eight_schools) if sys.argv[1] == "eight_schools" else NUTS(ring, init_strategy=init_to_uniform(radius=5))
draws = int(sys.argv[2])
mcmc = MCMC(kernel, num_warmup=1_000, num_samples=draws, num_chains=2, chain_method="parallel", progress_bar=False)
mcmc.run(jax.random.key(int(sys.argv[3])))
samples = {name: np.asarray(values) for name, values in mcmc.get_samples(group_by_chain=True).items()}
print("drawn", flush=True)

if sys.argv[1] == "eight_schools":
    parameters = np.concatenate([samples["theta"], samples["mu"][..., None], samples["tau"][..., None]], -1)
    found = {}
else:
    parameters = samples["x"]
    found = problems.modes(parameters)
print(json.dumps(found | problems.figures(parameters, effective_sample_size(parameters))))
