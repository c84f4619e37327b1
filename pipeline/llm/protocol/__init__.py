"""OpenAI's chat completions as bytes; no input and no output."""
