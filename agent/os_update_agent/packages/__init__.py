"""All that knows packages. Knows no Heat."""
