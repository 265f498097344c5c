"""What people point at, as a list of single images."""
