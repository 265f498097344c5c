"""LiteLLM's real proxy between the command and an endpoint."""
