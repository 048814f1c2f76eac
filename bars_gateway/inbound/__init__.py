"""From the proxy to the store: mutual TLS, one message, its acknowledgement."""
