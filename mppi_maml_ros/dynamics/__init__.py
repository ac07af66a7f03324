"""Robot models, known and learned, and their rollouts."""
