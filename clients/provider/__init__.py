"""The vision API: client, transport, bodies, replies, errors. Vendor quirks live here."""
