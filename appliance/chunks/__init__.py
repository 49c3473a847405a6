"""Content as chunks: cutting, coding, packs, manifests, and the store that brings them together."""
