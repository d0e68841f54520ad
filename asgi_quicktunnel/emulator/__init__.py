"""The embedded edge: the addresses of a Cloudflare of one's own."""
