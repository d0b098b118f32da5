"""Opens the store of examples/arviz.rs. Run with -W error: a warning is a failure."""

import sys

import numpy as np

try:
    from arviz import from_zarr, summary
except ModuleNotFoundError:
    # ArviZ 1 needs Python 3.12. Below, its statistics run, and xarray reads the store.
    import xarray
    from arviz_stats import summary

    def from_zarr(path):
        return xarray.open_datatree(path, engine="zarr")


WEIGHTS = np.array([0.7, 0.3])
MEANS = np.array([[-1.0, 0.5], [1.5, -0.5]])
SDS = np.array([0.8, 1.0])


def log_density(x):
    """Of the example's mixture, over the last axis."""
    squares = ((x[..., None, :] - MEANS) ** 2).sum(-1)
    return np.log((WEIGHTS / SDS**2 * np.exp(-squares / (2 * SDS**2))).sum(-1))


def is_log_density(lp, x):
    """Whether lp is the log density at x, but for a constant."""
    return np.ptp(lp - log_density(x)) < 1e-4


data = from_zarr(sys.argv[1])
assert set(data.children) == {"posterior", "sample_stats", "warmup_posterior", "warmup_sample_stats"}, data
for phase, draws in [("", 500), ("warmup_", 100)]:
    x, lp = data[phase + "posterior"].x, data[phase + "sample_stats"].lp
    assert x.dims == ("chain", "draw", "x_dim_0") and x.shape == (64, draws, 2), x
    assert lp.dims == ("chain", "draw") and lp.shape == (64, draws), lp
    for name, size in [("chain", 64), ("draw", draws), ("x_dim_0", 2)]:
        assert (x[name].values == np.arange(size)).all(), name
    assert data[phase + "posterior"].attrs["inference_library"] == "ergodic"
    # Each log density stands where its position does; planted faults: a chain, a draw, a coordinate in another's place.
    points, values = x.values.astype(float), lp.values.astype(float)
    assert is_log_density(values, points)
    for axis in range(3):
        assert not is_log_density(values, np.roll(points, 1, axis)), axis

table = summary(data, round_to="none")
print(table)
exact = WEIGHTS @ MEANS
spread = np.sqrt(WEIGHTS @ (SDS[:, None] ** 2 + MEANS**2) - exact**2)
for i in range(2):
    row = table.loc[f"x[{i}]"]
    assert abs(row["mean"] - exact[i]) < 5.5 * row["mcse_mean"], row
    assert abs(row["sd"] - spread[i]) < 5.5 * row["mcse_sd"], row
    assert row["r_hat"] < 1.01 and row["ess_bulk"] > 10_000, row
