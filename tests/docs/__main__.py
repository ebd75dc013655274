"""Writes the generated files."""

from docs import generated

for path, text in generated().items():
    path.write_text(text, encoding="utf-8")
    print(path)
