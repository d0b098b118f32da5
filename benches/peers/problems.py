"""The two targets of the time to precision, and what is reported of draws."""

import math

import jax.numpy as jnp
import numpy as np

EFFECTS = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
ERRORS = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
MODES = np.array([(4 * math.cos(math.tau * j / 8), 4 * math.sin(math.tau * j / 8)) for j in range(8)])
MODE_SD = 0.5


def ring_log_density(x):
    """Eight normals on a circle, up to a constant."""
    squares = jnp.sum((x - jnp.asarray(MODES)) ** 2, -1) / MODE_SD**2
    least = jnp.min(squares)
    return jnp.log(jnp.sum(jnp.exp(-0.5 * (squares - least)))) - 0.5 * least


def figures(draws, ess):
    """Of draws, [chain][draw][parameter], with a library's own effective sample sizes of the means."""
    return {"mcse_over_sd": float(np.max(1 / np.sqrt(np.asarray(ess))))}


def modes(x):
    """How far the shares of the eight modes are from one eighth each: total variation. x is [...][2]."""
    nearest = np.argmin(np.sum((x[..., None, :] - MODES) ** 2, -1), -1)
    shares = np.bincount(nearest.ravel(), minlength=8) / nearest.size
    return {"modes_off": float(0.5 * np.abs(shares - 1 / 8).sum()), "mean_off": float(np.max(np.abs(x.reshape(-1, 2).mean(0))) / math.sqrt(8.25))}
