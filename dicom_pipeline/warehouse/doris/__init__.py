"""The warehouse in Apache Doris: queries over the MySQL protocol, loads over HTTP (Stream Load).

Imported only when ``WAREHOUSE_URL`` chooses it.
"""
