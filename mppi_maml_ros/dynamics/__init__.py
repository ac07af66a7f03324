"""Robot models, known and learned."""
