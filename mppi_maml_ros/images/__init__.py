"""Few-shot classification of images: data, network and what learns to learn them."""
