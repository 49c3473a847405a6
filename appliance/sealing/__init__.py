"""The keys of sealed blobs: a master key outside of the store, and data keys in it that it wraps."""
