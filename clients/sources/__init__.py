"""Turns a job's inputs into a list of single images."""
