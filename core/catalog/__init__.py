"""Published facts with their sources and dates: models, tokens, tiers, prices."""
