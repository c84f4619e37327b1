"""OpenAI's chat completions as bytes; no I/O."""
