"""Knowledge distillation: a small network learns from what a large one makes of each input."""
