"""Classification: one label for each image, table row or text."""
