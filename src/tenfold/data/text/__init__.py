"""Text: tokens, vocabularies, labelled lines, corpora."""
