"""Programs that measure the product against others; see README.md."""
