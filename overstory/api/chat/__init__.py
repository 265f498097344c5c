"""``POST /v1/chat/completions`` and ``GET /v1/models``, as OpenAI's SDKs and LangChain speak to
them, for any number of images."""
