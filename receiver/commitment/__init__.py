"""Storage Commitment Push Model as an SCP (PS3.4 annex J), whatever serves the associations.

`service.Commitment` ties the parts together. Objects are looked up in the receiver's own durable
records (`records`, kept in the outboxes), and each file is read again before it is called safe.
"""
