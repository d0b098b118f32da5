"""BlackJAX: every chain's step by vmap, many steps by scan, all of it compiled."""

import functools

import blackjax
import jax
import jax.numpy as jnp

import worker


def log_density(case):
    if case["energy"] == "double_well":
        return lambda x: -jnp.sum((x**2 - 1) ** 2)
    means = jnp.asarray(worker.means(case["dim"]))
    return lambda x: jax.scipy.special.logsumexp(-0.5 / worker.SD**2 * jnp.sum((x - means) ** 2, -1))


def algorithm(case):
    step_size = worker.STEP_SIZES[case["energy"], case["kernel"]]
    density = log_density(case)
    ones = jnp.ones(case["dim"])
    if case["kernel"] == "rwm":
        return blackjax.additive_step_random_walk(density, blackjax.mcmc.random_walk.normal(step_size * ones))
    if case["kernel"] == "mala":
        # The same convention as ergodic's: x + h grad log p + sqrt(2 h) z.
        return blackjax.mala(density, step_size)
    return blackjax.hmc(density, step_size, ones, 10)


class Runner:
    def __init__(self, case, x):
        chains = case["chains"]
        kernel = algorithm(case)

        # The number of steps is a constant of the compiled loop, as scan wants it.
        @functools.partial(jax.jit, static_argnums=2)
        def run(key, state, steps):
            def one(state, key):
                state, info = jax.vmap(kernel.step)(jax.random.split(key, chains), state)
                return state, jnp.mean(info.acceptance_rate)

            return jax.lax.scan(one, state, jax.random.split(key, steps))

        self.run = run
        self.key = jax.random.key(0)
        self.state = jax.vmap(kernel.init)(jnp.asarray(x))
        self.accepted = None

    def advance(self, steps):
        self.key, key = jax.random.split(self.key)
        self.state, self.accepted = jax.block_until_ready(self.run(key, self.state, steps))

    def acceptance(self):
        return float(jnp.mean(self.accepted))

    def mean_square(self):
        return float(jnp.mean(self.state.position**2))


if __name__ == "__main__":
    # The backend opens with the first computation: not counted, as the opening of a device is not for ergodic.
    jax.block_until_ready(jax.jit(lambda x: x + 1)(jnp.ones(2)))
    worker.serve(f"BlackJAX {blackjax.__version__}, JAX {jax.__version__}, {jax.devices()[0].platform}", Runner)
