"""Boltzmann machines in ergodic, scikit-learn, NumPy and PyTorch, in turn on one machine.

`benches/peers/run boltzmann [--quick] [--json FILE]` (which makes the environment and builds ergodic) prints
- speed: CD-1 on 1,500 binary rows, 64 x 128, batches of 100 (epochs a second; scikit-learn) and 784 x 500, batches of 500 (updates a
  second; a plain PyTorch), as medians of the ratio within a round of A B A B ...;
- held-out log-likelihood on the 8 x 8 digits (pixels of at least 8 set to one; the split of `examples/digits.rs`) of scikit-learn's
  BernoulliRBM (300 epochs, rate 0.02) and of a plain NumPy PCD-2 (400 epochs), judged by `examples/ln_z.rs`; --quick leaves it out.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

DIGITS = {"visible": 64, "hidden": 128, "rows": 1500, "batch": 100, "epochs": 200}
LARGE = {"visible": 784, "hidden": 500, "rows": 5000, "batch": 500, "epochs": 5}


def binary_rows(case):
    return (np.random.default_rng(1).random((case["rows"], case["visible"])) < 0.3).astype(np.float32)


def scikit_learn(case):
    """BernoulliRBM is persistent, k = 1: the same products and draws an update as CD-1."""
    from sklearn.neural_network import BernoulliRBM

    rows = binary_rows(case).astype(np.float64)
    machine = BernoulliRBM(n_components=case["hidden"], batch_size=case["batch"], n_iter=case["epochs"], random_state=1)
    begun = time.perf_counter()
    machine.fit(rows)
    return case["epochs"] / (time.perf_counter() - begun)


def pytorch(case):
    """CD-1 as tutorials write it; updates a second."""
    import torch

    torch.manual_seed(1)
    data = torch.from_numpy(binary_rows(case))
    w = 0.01 * torch.randn(case["visible"], case["hidden"])
    a, b = torch.zeros(case["visible"]), torch.zeros(case["hidden"])
    rate = 0.01 / case["batch"]

    def epoch():
        for v0 in data[torch.randperm(case["rows"])].split(case["batch"]):
            h0 = torch.sigmoid(v0 @ w + b)
            v1 = torch.bernoulli(torch.sigmoid(torch.bernoulli(h0) @ w.T + a))
            h1 = torch.sigmoid(v1 @ w + b)
            w.add_(v0.T @ h0 - v1.T @ h1, alpha=rate)
            a.add_((v0 - v1).sum(0), alpha=rate)
            b.add_((h0 - h1).sum(0), alpha=rate)

    with torch.no_grad():
        epoch()
        begun = time.perf_counter()
        for _ in range(case["epochs"]):
            epoch()
        return case["epochs"] * case["rows"] / case["batch"] / (time.perf_counter() - begun)


class Ergodic:
    def __init__(self):
        command = ["cargo", "bench", "--quiet", "--bench", "boltzmann", "--", "--serve"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, case, rate):
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())[rate]


def speed(name, case, peer, ergodic, rate, rounds):
    runs = [(ergodic(case, rate), peer(case)) for _ in range(rounds + 1)][1:]
    ratios = [own / other for own, other in runs]
    own, other = (statistics.median(column) for column in zip(*runs))
    ratio = statistics.median(ratios)
    unit = rate.replace("_per_second", "/s")
    print(f"{case['visible']} x {case['hidden']}, batch {case['batch']}: ergodic {own:.1f} {unit}, {name} {other:.1f}, "
          f"ratio {ratio:.2f} ({min(ratios):.2f}-{max(ratios):.2f})", flush=True)
    return {"case": case, "peer": name, "unit": unit, "ergodic": own, "other": other, "ratio": ratio,
            "ratio_min": min(ratios), "ratio_max": max(ratios)}


def threefry(key, counter):
    """Threefry2x32-20: the shuffle of examples/digits.rs."""
    mask = 0xFFFFFFFF
    keys = [key[0], key[1], 0x1BD11BDA ^ key[0] ^ key[1]]
    x, y = (counter[0] + keys[0]) & mask, (counter[1] + keys[1]) & mask
    for group in range(5):
        for left in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            x = (x + y) & mask
            y = ((y << left | y >> (32 - left)) & mask) ^ x
        x, y = (x + keys[(group + 1) % 3]) & mask, (y + keys[(group + 2) % 3] + group + 1) & mask
    return x, y


def digits():
    from sklearn.datasets import load_digits

    assert threefry((0, 0), (0, 0)) == (0x6B200159, 0x99BA4EFE)
    rows = (load_digits().data >= 8).astype(np.float64)
    key = threefry(threefry((7, 0), (27, 0)), (0, 0))  # seed 7, stream Shuffle, epoch 0
    order = sorted(range(len(rows)), key=lambda row: threefry(key, (row, 0)))
    return rows[order[:1500]], rows[order[1500:]]


def numpy_pcd2(train, hidden=128, epochs=400, batch=100, chains=100):
    """Persistent CD-2, rate falling from 0.05 to 0, momentum 0.5, weight decay 1e-4."""
    rng = np.random.default_rng(1)
    means = 0.01 + 0.98 * train.mean(0)
    w, a, b = rng.normal(0, 0.01, (train.shape[1], hidden)), np.log(means / (1 - means)), np.zeros(hidden)
    steps = [np.zeros_like(p) for p in (w, a, b)]
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    draw = lambda p: (rng.random(p.shape) < p).astype(np.float64)
    fantasy = draw(np.full((chains, train.shape[1]), 0.5))
    for epoch in range(epochs):
        rate = 0.05 * (1 - epoch / epochs)
        for rows in np.array_split(train[rng.permutation(len(train))], len(train) // batch):
            h = sigmoid(rows @ w + b)
            for _ in range(2):
                fantasy = draw(sigmoid(draw(sigmoid(fantasy @ w + b)) @ w.T + a))
            hf = sigmoid(fantasy @ w + b)
            grads = (rows.T @ h / len(rows) - fantasy.T @ hf / chains - 1e-4 * w, rows.mean(0) - fantasy.mean(0), h.mean(0) - hf.mean(0))
            for step, param, grad in zip(steps, (w, a, b), grads):
                step *= 0.5
                step += rate * grad
                param += step
    return w, a, b


def scikit_learn_machine(train):
    from sklearn.neural_network import BernoulliRBM

    machine = BernoulliRBM(n_components=128, learning_rate=0.02, batch_size=100, n_iter=300, random_state=1).fit(train)
    return machine.components_.T, machine.intercept_visible_, machine.intercept_hidden_


def save(path, tensors):
    """safetensors: the length of a JSON header, the header, the bytes."""
    header, data = {}, b""
    for name, values in tensors.items():
        bytes_ = np.ascontiguousarray(values, dtype="<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(bytes_)]}
        data += bytes_
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def likelihoods():
    train, held_out = digits()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        np.save(folder / "train.npy", train.astype(np.float32))
        np.save(folder / "held_out.npy", held_out.astype(np.float32))
        for name, fit in (("scikit-learn, 300 epochs", scikit_learn_machine), ("NumPy PCD-2, 400 epochs", numpy_pcd2)):
            begun = time.perf_counter()
            w, a, b = fit(train)
            seconds = time.perf_counter() - begun
            save(folder / "machine.safetensors", {"W": w, "a": a, "b": b})
            command = ["cargo", "run", "--quiet", "--release", "--example", "ln_z", "--", "machine.safetensors", "--temperatures", "10000",
                       "--reverse", "2000", "--train", "train.npy", "--data", "held_out.npy", "--json", "figures.json"]
            command[command.index("machine.safetensors")] = str(folder / "machine.safetensors")
            command = [str(folder / part) if part in ("train.npy", "held_out.npy", "figures.json") else part for part in command]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            bracket = json.loads((folder / "figures.json").read_text())["log_likelihood"]
            print(f"digits, held out: {name}: [{bracket[0]:.2f}, {bracket[1]:.2f}] nats, {seconds:.0f} s", flush=True)
            results[name] = {"heldout_log_likelihood": bracket, "seconds": seconds}
    return results


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="speed only, three rounds")
    arguments.add_argument("--json", type=Path)
    options = arguments.parse_args()
    ergodic, rounds = Ergodic(), 3 if options.quick else 7
    figures = {
        "speed": [
            speed("scikit-learn", DIGITS, scikit_learn, ergodic, "epochs_per_second", rounds),
            speed("PyTorch", LARGE, pytorch, ergodic, "updates_per_second", rounds),
        ],
    }
    if not options.quick:
        figures["digits"] = likelihoods()
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
