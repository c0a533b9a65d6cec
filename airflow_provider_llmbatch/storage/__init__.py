"""Object storage: where a job's folder lies and how a document lands in it."""
