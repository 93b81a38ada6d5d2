"""The judge of generated images: one trained classifier, and everything that is measured by its eyes."""

from tenfold.judge.distances import (
    Estimate,
    PrecisionRecall,
    distances,
    frechet_distance,
    kernel_distance,
    precision_recall,
    real_floor,
)
from tenfold.judge.grid import grid_figure, sample_grid, write_grid
from tenfold.judge.judge import Coverage, Judge, Seen, class_coverage, label_agreement
from tenfold.judge.neighbours import Neighbours, copied_share, nearest_neighbours
from tenfold.judge.samples_only import samples_only_accuracy

__all__ = [
    "Coverage",
    "Estimate",
    "Judge",
    "Neighbours",
    "PrecisionRecall",
    "Seen",
    "class_coverage",
    "copied_share",
    "distances",
    "frechet_distance",
    "grid_figure",
    "kernel_distance",
    "label_agreement",
    "nearest_neighbours",
    "precision_recall",
    "real_floor",
    "sample_grid",
    "samples_only_accuracy",
    "write_grid",
]
