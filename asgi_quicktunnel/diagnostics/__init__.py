"""What local visitors see of the tunnel."""
