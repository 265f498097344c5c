"""The sync client: ``python clients-http/generate.py`` writes all but io.py from the async one."""
