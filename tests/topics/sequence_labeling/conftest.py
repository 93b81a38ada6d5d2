from collections.abc import Iterator

import pytest

from tenfold.topics.sequence_labeling import chains


@pytest.fixture(scope="module", params=["compiled", "batched"])
def each_way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Chains by compiled code, where numba is installed, then by torch's operations."""
    if request.param == "compiled":
        pytest.importorskip("numba")
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chains, "_compiled", lambda: None)
        yield
