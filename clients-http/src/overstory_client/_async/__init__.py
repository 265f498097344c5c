"""The async client, from which ``python clients-http/generate.py`` writes the sync one."""
