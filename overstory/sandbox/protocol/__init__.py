"""The protocol: the API's requests and replies."""
