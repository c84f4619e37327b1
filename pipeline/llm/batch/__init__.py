"""The batch lane: files of requests that a provider answers within a day, for less."""
