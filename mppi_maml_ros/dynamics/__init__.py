"""Robot models: the kinematic prior, the learned residual on top of it, and their rollouts."""
