"""One person out of everything that the platform keeps below its home, and the proof of it (docs/erasure.md)."""
