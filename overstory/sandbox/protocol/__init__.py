"""The protocol: requests as the API takes them, replies as it gives them."""
