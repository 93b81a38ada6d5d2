"""DataModules by modality, and the loader that they share."""
