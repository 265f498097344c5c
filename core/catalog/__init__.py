"""Published facts with sources and dates: models, tokens, tiers, prices."""
