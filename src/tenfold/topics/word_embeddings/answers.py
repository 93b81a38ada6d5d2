"""What a person may ask of finished vectors, as JSON-able answers."""

from __future__ import annotations

from typing import Any

from tenfold.data.text.vectors import WordVectors
from tenfold.errors import UserError


def answer(vectors: WordVectors, words: tuple[str, ...]) -> dict[str, Any]:
    """What is asked by so many words: `vector word` for a vector, one word for neighbours, two for a cosine, three for
    an analogy."""
    if len(words) == 2 and words[0] == "vector:":
        return {"vector": [round(value, 6) for value in vectors.vector(words[1]).tolist()]}
    if len(words) == 1:
        return {"neighbours": _rounded(vectors.neighbours(words[0]))}
    if len(words) == 2:
        return {"similarity": round(vectors.similarity(*words), 6)}
    if len(words) == 3:
        return {"analogy": _rounded(vectors.analogy(*words))}
    raise UserError(
        f"input: found {len(words)} words ({' '.join(words)[:40]!r}), expected 1, 2 or 3, or 'vector: word'"
    )


def _rounded(found: list[tuple[str, float]]) -> dict[str, float]:
    return {word: round(cosine, 4) for word, cosine in found}
