#!/usr/bin/env python3
"""Trains the level books of the low-bit formats and prints them as the arrays of quant/codebook.cpp.

Needs numpy; nothing else of the project does, and no test runs this. Usage: train_codebooks.py [q3s|q2s|q2v ...]

Weights are drawn at random, rounded to MXFP4 by the rule of the official kernel (scale 2^ceil(log2(amax / 6)) per 32),
and cut into blocks of 32. A block is then only a count of symbols: 15 values of e2m1, or 225 pairs of them. A candidate
is a book and a scale step; a block takes the candidate that costs least, and then every level moves to the mean of what
fell on it (Lloyd's rounds, with the scale steps as they will be stored). Several starts, the best one is kept. At the
end each book is moved by whole octaves until its largest level is in 64 ... 127, and rounded to integers.
"""

import sys

import numpy as np

E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
VALUES = np.concatenate([-E2M1[:0:-1], E2M1])  # 15, ascending
BOOKS = 16
BLOCK = 32


def sources(rng, rows, cols):
    """Weights of several kinds: [(name, rows x cols, weight in training)].

    Rows have any size within an octave: where a block's largest weight lies between two powers of two decides which codes
    it has.
    """
    gauss = rng.standard_normal((rows, cols))
    t6 = rng.standard_t(6, (rows, cols))
    uneven = rng.standard_normal((rows, cols)) * np.exp(0.3 * rng.standard_normal((rows, 1)))
    uneven *= np.exp(0.3 * rng.standard_normal((1, cols)))
    laplace = rng.laplace(size=(rows, cols))
    size = np.exp2(rng.random((rows, 1)))
    gauss, t6, uneven, laplace = gauss * size, t6 * size, uneven * size, laplace * size
    return [("gauss", gauss, 1.0), ("t6", t6, 1.0), ("uneven", uneven, 0.25), ("laplace", laplace, 0.25)]


def mxfp4(weights):
    """Symbols 0 ... 14 of every weight and the scale of every block."""
    blocks = weights.reshape(-1, BLOCK)
    amax = np.abs(blocks).max(axis=1)
    scale = 2.0 ** np.ceil(np.log2(amax / 6))
    size = np.abs(blocks) / scale[:, None]
    # Ties of random reals do not happen: the nearest value will do.
    middles = (E2M1[1:] + E2M1[:-1]) / 2
    code = np.searchsorted(middles, size)
    return np.where(blocks < 0, 7 - code, 7 + code), scale


def histograms(symbols, kinds):
    out = np.zeros((len(symbols), kinds), dtype=np.float32)
    rows = np.repeat(np.arange(len(symbols)), symbols.shape[1])
    np.add.at(out, (rows, symbols.ravel()), 1)
    return out


class Problem:
    def __init__(self, dims, rng, rows, cols=4096):
        self.values = VALUES[:, None]
        if dims == 2:
            first, second = np.meshgrid(VALUES, VALUES, indexing="ij")
            self.values = np.stack([first.ravel(), second.ravel()], axis=1)
        self.counts, self.weights, self.names, self.slices = [], [], [], []
        start = 0
        for name, data, weight in sources(rng, rows, cols):
            symbols, scale = mxfp4(data)
            energy = np.mean(scale**2 * np.sum(VALUES[symbols] ** 2, axis=1))
            if dims == 2:
                symbols = symbols[:, 0::2] * 15 + symbols[:, 1::2]
            self.counts.append(histograms(symbols, len(self.values)))
            self.weights.append(weight * scale**2 / energy)
            self.names.append(name)
            self.slices.append((slice(start, start + len(symbols)), weight))
            start += len(symbols)
        self.counts = np.concatenate(self.counts)
        self.weights = np.concatenate(self.weights).astype(np.float32)


def errors(values, books, steps):
    """Of every symbol with every candidate [symbols, books * steps], and the level it goes to."""
    levels = books[:, None] * steps[None, :, None, None]  # [book, step, level, dims]
    distance = ((values[None, None, :, None] - levels[:, :, None]) ** 2).sum(axis=-1)
    nearest = distance.argmin(axis=-1)
    least = np.take_along_axis(distance, nearest[..., None], axis=-1)[..., 0]
    return least.reshape(-1, len(values)).T.astype(np.float32), nearest.reshape(-1, len(values))


def assign(problem, books, steps):
    cost, nearest = errors(problem.values, books, steps)
    best = np.empty(len(problem.counts), dtype=np.int64)
    least = np.empty(len(problem.counts), dtype=np.float32)
    for i in range(0, len(best), 65536):
        all_costs = problem.counts[i : i + 65536] @ cost
        best[i : i + 65536] = all_costs.argmin(axis=1)
        least[i : i + 65536] = all_costs.min(axis=1)
    return best, least, nearest


def table(problem, least):
    loss = least * problem.weights
    return {
        name: float(np.mean(loss[where])) / weight
        for name, (where, weight) in zip(problem.names, problem.slices)
    }


def train(problem, levels, steps, rng, rounds, books=None):
    dims = problem.values.shape[1]
    if books is None:
        books = np.empty((BOOKS, levels, dims))
        for b in range(BOOKS):  # values of a few random blocks
            chosen = rng.integers(len(problem.counts), size=8)
            p = problem.counts[chosen].sum(axis=0)
            pick = rng.choice(len(problem.values), size=levels, p=p / p.sum(), replace=(p > 0).sum() < levels)
            books[b] = problem.values[pick] / 6 + 0.05 * rng.standard_normal((levels, dims))
    for _ in range(rounds):
        best, least, nearest = assign(problem, books, steps)
        per_candidate = np.zeros((BOOKS * len(steps), len(problem.values)))
        order = np.argsort(best, kind="stable")
        starts = np.searchsorted(best[order], np.arange(BOOKS * len(steps) + 1))
        weighted = problem.counts[order] * problem.weights[order, None]
        for c in range(BOOKS * len(steps)):
            if starts[c] < starts[c + 1]:
                per_candidate[c] = weighted[starts[c] : starts[c + 1]].sum(axis=0)
        top = np.zeros((BOOKS, levels, dims))
        bottom = np.zeros((BOOKS, levels))
        for c in range(len(per_candidate)):
            b, s = divmod(c, len(steps))
            np.add.at(top[b], nearest[c], steps[s] * per_candidate[c][:, None] * problem.values)
            np.add.at(bottom[b], nearest[c], steps[s] ** 2 * per_candidate[c])
        used = bottom > 0
        books[used] = top[used] / bottom[used][:, None]
        # A level that nobody took starts again beside another one.
        for b, k in np.argwhere(~used):
            books[b, k] = books[b, rng.integers(levels)] + 0.05 * rng.standard_normal(dims)
        load = np.bincount(best // len(steps), weights=least * problem.weights, minlength=BOOKS)
        if load.min() < 0.1 * load.max() / BOOKS:
            books[load.argmin()] = books[load.argmax()] + 0.03 * rng.standard_normal((levels, dims))
    return books


def to_integers(books):
    """Whole octaves, so that steps stay steps; the largest level of a book in 64 ... 127; one level is 0."""
    largest = np.abs(books).max(axis=(1, 2))
    octaves = np.floor(np.log2(127.49 / largest))
    whole = np.rint(books * 2.0 ** octaves[:, None, None]).astype(int)
    # A block of zeros has to stay one.
    size = (whole**2).sum(axis=-1)
    whole[np.unravel_index(size.argmin(), size.shape)] = 0
    return np.array([sorted(book.tolist()) for book in whole])


def steps_of(low, high):
    """Scale steps as they are stored: 1, 1.5, 2, 3, ... (step 0 is 1)."""
    return np.array([2.0 ** (j // 2) * (1.5 if j % 2 else 1.0) for j in range(low, high)])


def cpp(name, books):
    dims = books.shape[2]
    kind = "PointBooks" if dims == 2 else f"LevelBooks<{books.shape[1]}>"
    lines = [f"inline constexpr {kind} k{name.capitalize()}Books = {{{{"]
    for book in books:
        cells = ["{" + f"{{{p[0]}, {p[1]}}}" + "}" if dims == 2 else str(p[0]) for p in book]
        lines.append("    {{" + ", ".join(cells) + "}},")
    return "\n".join(lines + ["}};"])


FORMATS = {"q3s": (1, 8), "q2s": (1, 4), "q2v": (2, 16)}
STARTS, ROWS = 24, 128


def main():
    for name in sys.argv[1:] or FORMATS:
        dims, levels = FORMATS[name]
        rng = np.random.default_rng(20)
        small, full = Problem(dims, rng, ROWS // 8), Problem(dims, rng, ROWS)
        steps = steps_of(3, 8)  # times levels near 1: an e2m1 block ends at 3 ... 6
        best, least = None, None
        for _ in range(STARTS):
            books = train(small, levels, steps, rng, 40)
            loss = np.mean(assign(small, books, steps)[1] * small.weights)
            if least is None or loss < least:
                best, least = books, loss
        whole = to_integers(train(full, levels, steps, rng, 80, best))
        check = Problem(dims, np.random.default_rng(77), ROWS // 2)
        steps = steps_of(-12, -4)  # times levels near 127: what quant/encode.cpp tries
        chosen, loss, _ = assign(check, whole, steps)
        print(f"// {name}:", {kind: round(value, 5) for kind, value in table(check, loss).items()})
        print("// steps from -12:", np.bincount(chosen % len(steps), minlength=len(steps)))
        print(cpp(name, whole), flush=True)


if __name__ == "__main__":
    main()
