"""What the package costs, and whether a change made it dearer: scripts/bench."""
