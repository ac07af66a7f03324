"""Meta-training: task distributions, trainers, and the pipeline that makes an artifact."""
