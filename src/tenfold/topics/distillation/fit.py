"""Whether a teacher fits its student: the same classes, the same inputs, the same split of the data."""

from __future__ import annotations

from collections.abc import Sequence

from lightning.pytorch.utilities import rank_zero_warn

from tenfold.errors import UserError
from tenfold.topics.classification.module import Classifier

#: Of the spec, what another sample of the same data may have otherwise: the statistics that pixels are normalised by.
STATISTICS = frozenset({"mean", "std"})
#: Of the data's config, what leaves the split as it is.
HANDLING = frozenset(
    {"batch_size", "eval_batch_size", "seed", "last_batch", "num_workers", "augment", "root", "download", "cache"}
)


def compare_classes(student: Classifier, teacher: Classifier) -> None:
    """Raises `UserError` where the teacher has other classes, or the same in another order."""
    if teacher.class_names != student.class_names:
        raise UserError(
            f"model.teacher: its classes are {_listed(teacher.class_names)}; "
            f"expected the data's, {_listed(student.class_names)}"
        )


def compare_data(student: Classifier, teacher: Classifier) -> None:
    """Raises `UserError` where the teacher takes other inputs; warns where it was trained on another split."""
    theirs, ours = teacher.spec.to_dict(), student.spec.to_dict()
    for key in ours | theirs:
        if key not in STATISTICS and theirs.get(key) != ours.get(key):
            found, expected = _shown(theirs.get(key)), _shown(ours.get(key))
            raise UserError(f"model.teacher: trained on inputs whose {key} is {found}; expected the data's, {expected}")
    first, second = (_split_of(module) for module in (teacher, student))
    if first != second:
        changed = sorted(key for key in first.keys() | second.keys() if first.get(key) != second.get(key))
        rank_zero_warn(
            f"model.teacher: trained on another split of the data (data.{changed[0]}): it may have seen what the "
            "student is validated and tested on"
        )


def _split_of(module: Classifier) -> dict[str, object]:
    return {key: value for key, value in (module.config.get("data") or {}).items() if key not in HANDLING}


def _listed(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f", ... ({len(names)})" if len(names) > most else "")


def _shown(value: object, longest: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= longest else text[: longest - 1] + "…"
