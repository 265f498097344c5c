"""What people know about images: the truth, and how answers are compared with it."""
