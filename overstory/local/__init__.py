"""This machine: the embedded stack, its processes, the state folder, staying with a job."""
