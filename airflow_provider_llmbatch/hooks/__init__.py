"""One hook per vendor; the hook is the adapter, and nothing outside this folder asks which vendor it is."""
