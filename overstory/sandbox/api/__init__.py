"""HTTP: routes, handlers, authentication."""
