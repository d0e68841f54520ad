"""What came through the tunnel, kept for whoever wants to look, and sent once more on demand."""
