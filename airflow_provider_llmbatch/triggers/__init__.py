"""Waiting, without a worker: one poller per connection and triggerer process answers for all jobs."""
