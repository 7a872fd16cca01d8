"""What a pretrained encoder is worth with labels: one protocol a file, rows out. Uses encoders through `zoo` alone."""
