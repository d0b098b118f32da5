"""BlackJAX's ChEES to a precision: 256 chains. Prints a line once the draws are there, then what they are worth."""

import json
import sys

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
import optax

import problems

CHAINS, WARM_UP = 256, 400


def eight_schools(x):
    mu, log_tau, eta = x[8], x[9], x[:8]
    tau = jnp.exp(log_tau)
    residuals = (jnp.asarray(problems.EFFECTS) - mu - tau * eta) / jnp.asarray(problems.ERRORS)
    prior = -0.5 * jnp.sum(eta**2) - 0.5 * (mu / 5) ** 2 - jnp.log1p((tau / 5) ** 2) + log_tau
    return prior - 0.5 * jnp.sum(residuals**2)


name, draws, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
density = eight_schools if name == "eight_schools" else problems.ring_log_density
start_key, warm_key, key = jax.random.split(jax.random.key(seed), 3)
if name == "eight_schools":
    start = jax.random.normal(start_key, (CHAINS, 10))
else:
    # In the square that holds the ring.
    start = jax.random.uniform(start_key, (CHAINS, 2), minval=-5.0, maxval=5.0)


@jax.jit
def sample(start, warm_key, key):
    adaptation = blackjax.chees_adaptation(density, CHAINS)
    (states, parameters), _ = adaptation.run(warm_key, start, 0.1, optax.adam(0.05), WARM_UP)
    kernel = blackjax.dynamic_hmc(density, **parameters)

    def one(states, key):
        states, _ = jax.vmap(kernel.step)(jax.random.split(key, CHAINS), states)
        return states, states.position

    return jax.lax.scan(one, states, jax.random.split(key, draws))[1]


x = np.asarray(sample(start, warm_key, key))
print("drawn", flush=True)

x = x.transpose(1, 0, 2)
if name == "eight_schools":
    tau = np.exp(x[..., 9:])
    x, found = np.concatenate([x[..., 8:9] + tau * x[..., :8], x[..., 8:9], tau], -1), {}
else:
    found = problems.modes(x)
print(json.dumps(found | problems.figures(x, blackjax.diagnostics.effective_sample_size(jnp.asarray(x)))))
