"""Log files: appended by several processes, rotated by size, without secrets. Knows neither HTTP nor settings."""
