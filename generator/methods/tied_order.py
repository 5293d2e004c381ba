"""The order of values in columns, where equal values share their places: what ranks and influences are read from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def tied_runs(rising: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every place in rows of rising values, where the run of equal values begins and ends; (C, N) → (C, N) int64
    each, the end being the first place behind the run."""
    count = rising.shape[1]
    places = np.arange(count)
    rises = rising[:, 1:] != rising[:, :-1]
    start, end = np.zeros(rising.shape, np.int64), np.full(rising.shape, count)
    np.maximum.accumulate(np.where(rises, places[1:], 0), axis=1, out=start[:, 1:])
    end[:, :-1] = np.minimum.accumulate(np.where(rises, places[1:], count)[:, ::-1], axis=1)[:, ::-1]
    return start, end


@dataclass(frozen=True)
class TiedOrder:
    """The order of each column; (C, N) each. order: rows by rising value; start, end: of every row, where the run of
    its value begins and ends in that order."""

    order: np.ndarray
    start: np.ndarray
    end: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> TiedOrder:
        """values: (N, C)."""
        columns = np.ascontiguousarray(values.T)
        order = np.argsort(columns, axis=1, kind="stable")
        runs = tied_runs(np.take_along_axis(columns, order, 1))
        start, end = (np.empty_like(run) for run in runs)
        for of_row, run in zip((start, end), runs, strict=True):
            np.put_along_axis(of_row, order, run, 1)
        return cls(order, start, end)

    def above(self, values: np.ndarray) -> np.ndarray:
        """By row, the sum of the values of all rows of higher rank, those of equal rank counted half; (N, C) → (N, C)
        float64."""
        columns = np.ascontiguousarray(values.T, np.float64)
        sums = np.zeros((columns.shape[0], columns.shape[1] + 1))
        ordered = np.take_along_axis(columns, self.order, 1)
        sums[:, :-1] = np.cumsum(ordered[:, ::-1], axis=1)[:, ::-1]
        halves = (np.take_along_axis(sums, self.start, 1) + np.take_along_axis(sums, self.end, 1)) / 2
        return halves.T
