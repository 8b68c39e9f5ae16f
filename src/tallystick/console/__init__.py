"""The console: pages rendered on the server, over the same acts as the API."""
