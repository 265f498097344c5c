"""Images are decoded and described from their pixels."""
