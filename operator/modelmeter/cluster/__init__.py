"""All I/O with the API server and with Triton. Nothing here decides anything about money or children."""
