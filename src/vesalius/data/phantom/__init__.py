"""A synthetic body: shapes, the anatomy made of them, and the radiograph that falls out."""
