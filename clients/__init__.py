"""Outside systems, one module each. Every module translates its vendor's errors into ours."""
