"""A decoder on an encoder, every tensor compared, and networks on disk."""
