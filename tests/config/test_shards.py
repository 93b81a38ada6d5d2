"""What a device's share of the weights does not go with is refused before any data is read."""

from __future__ import annotations

import pytest

from tenfold.config.check import check_config
from tenfold.config.compose import compose
from tenfold.errors import UserError

REFUSED = {
    "trainer.strategy=fsdp_cpu_offload": "trainer.strategy: found 'fsdp_cpu_offload', expected fsdp",
    "optimizer=muon": r"optimizer: tenfold\.engine\.muon\.Muon .* expected one of .*AdamW",
    "callbacks=[default,memory]": r"callbacks\.memory: .* fsdp",
    "trainer.compile=true": r"trainer\.compile: .* expected false",
    "trainer.micro_batch_size=auto": r"trainer\.micro_batch_size: .* expected a number",
    "trainer.batch_norm=exact": r"trainer\.batch_norm: .* expected whole",
    "experiment=gradient_accumulation/exact": r"trainer\.strategy: .* expected auto or ddp",
}


@pytest.mark.parametrize("override", REFUSED)
def test_what_needs_whole_weights_is_refused(override):
    with pytest.raises(UserError, match=REFUSED[override]):
        check_config(compose("train", ["trainer.strategy=fsdp", override]))


@pytest.mark.parametrize("override", ["optimizer=sgd", "trainer.batch_norm=whole", "experiment=gan/gaussians25"])
def test_what_goes_with_it_passes(override):
    check_config(compose("train", ["trainer.strategy=fsdp", override]))
