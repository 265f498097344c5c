"""The account limiter: Lua in Redis, and its Python side."""
