"""Study manifests: a JSON file per study that names what a viewer opens for each object.

``docs/manifests.md`` tells their forms. They are derived from the catalog and written by
`manifests.writing` for the studies that the catalog has marked.
"""
