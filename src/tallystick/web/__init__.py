"""What the faces share: reading a query, links that carry their permission, and the threads that requests run in."""
