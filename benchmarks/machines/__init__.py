"""Many machines: network namespaces whose links are delayed, lose packets and break.

``python -m benchmarks.machines`` runs a job for each row on workers that share nothing but
PostgreSQL, Redis and an S3 server, breaks a link in the middle, and checks the job from outside.
"""
