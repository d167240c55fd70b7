"""What a graph is like before anything is trained on it, and where a trained model fails."""
