"""From the queue to the proxy: claims, tokens, one POST, its verdict."""
