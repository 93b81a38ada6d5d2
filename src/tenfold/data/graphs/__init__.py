"""Graphs: one large graph whose nodes are classified, and many small ones."""
