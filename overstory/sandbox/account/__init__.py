"""One account: what it uses, stores and has cached."""
