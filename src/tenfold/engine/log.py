"""Lightning's notices and all warnings in the run's log, not between the progress bar's lines."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

LIGHTNING = ("lightning", "lightning.pytorch", "lightning.fabric")
NOISE = (".*does not have many workers.*", ".*is smaller than the logging interval.*")


@contextlib.contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Send what is logged and warned of to the file `path` while the context is open; all is as before afterwards."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, kept = logging.getLogger(), {name: logging.getLogger(name).handlers[:] for name in LIGHTNING}
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in LIGHTNING:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            for message in NOISE:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        logging.captureWarnings(False)
        root.setLevel(level)
        root.removeHandler(handler)
        for name, handlers in kept.items():
            logging.getLogger(name).handlers[:] = handlers
        handler.close()
