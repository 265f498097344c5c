"""This machine: the embedded stack, its processes, the state folder, waiting for a job."""
