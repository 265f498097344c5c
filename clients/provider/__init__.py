"""The vision API: client, transport, bodies, replies, errors. All vendor specifics are here."""
