"""Whether a teacher fits its student: the same classes, the same inputs, the same split of the data."""

from __future__ import annotations

from collections.abc import Sequence

from tenfold.engine.companions import warn_of_another_split
from tenfold.errors import UserError
from tenfold.topics.classification.module import Classifier

#: Of the spec, what another sample of the same data may have otherwise: the statistics that pixels are normalised by.
STATISTICS = frozenset({"mean", "std"})


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
    seen = "what the student is validated and tested on"
    warn_of_another_split("teacher", teacher, student.config.get("data") or {}, seen)


def _listed(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f", ... ({len(names)})" if len(names) > most else "")


def _shown(value: object, longest: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= longest else text[: longest - 1] + "…"
