"""Graph neural networks: classes of nodes, and numbers of graphs."""
