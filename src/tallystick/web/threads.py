"""The threads that requests are answered in, whichever face they came to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

# Requests that may be at work at once; the rest wait their turn. The threads stay: the usage store opens a handle for
# each new one, which takes longer than most questions. (anyio ends those that were idle for ten seconds, and on some
# loops each with its request.)
THREADS = ThreadPoolExecutor(16, thread_name_prefix="request")
