"""The operator's console: pages that tell what is so, and lead to what it is about."""
