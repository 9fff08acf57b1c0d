"""The Storage SCP: takes objects off the network and never loses one that it acknowledged.

`server` ties the parts together; `receipt` is one object's way from bytes to a status.
"""
