"""Commands that show jobs: one file each."""
