"""What is identified in closed form: the physics layer and models of its errors."""
