"""What is trained on: worlds, recordings, and what a network learns of them."""
