"""The training engine: base module, exact accumulation, optimisation, checkpoints and run folders."""
