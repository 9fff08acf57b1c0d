"""The embedded file server: the viewer's page, manifests, originals and display copies over HTTP.

It reads files and nothing else, and knows no passwords: it is for one machine. Nginx serves the
same URL space to others.
"""
