"""Image formats, headers and sizes, without a decoder."""
