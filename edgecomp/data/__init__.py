"""The data room: manifests, audio decoding and resampling, splits, leak checks."""
