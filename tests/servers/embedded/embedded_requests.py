"""Requests to the embedded model as a run sends them."""

import json
from io import BytesIO

LABELS = {
    "games": "games, puzzles, board and card games, adventures, shooters, game engines, levels, maps, emulators",
    "sound": "music, audio players, recording, synthesizers, MIDI, audio plugins",
    "graphics": "image and photo viewers and editors, drawing, scanning, OCR (optical character recognition), "
    "PDF and TIFF, 3D modelling and rendering",
    "science": "scientific research software: biology, genomics, chemistry, physics, astronomy, geography, "
    "engineering, statistics",
    "mail": "e-mail servers, clients, filters, spam detection, mailing lists, IMAP, SMTP",
    "fonts": "font families and typefaces, bold, italic, glyphs",
    "database": "database servers, SQL, clients, PostgreSQL, MySQL, SQLite, replication and administration tools",
    "editors": "text editors and word processors, Emacs, Vim, LibreOffice, syntax highlighting, editing source code",
}


def system_message(labels, examples=()):
    lines = ["Choose the best label.", "", "Labels:"]
    lines += [
        f"- {name}: {description}" if description else f"- {name}" for name, description in labels.items()
    ]
    lines += ["", "Reply with JSON only."]
    if examples:
        lines += ["", "Examples:"]
    for text, answer in examples:
        lines += [f"Text: {json.dumps(text, ensure_ascii=False)}", f"Answer: {json.dumps(answer)}"]
    return "\n".join(lines)


def schema(labels, most=None):
    """The schema for one label, or for at most *most* labels."""
    names = {"type": "string", "enum": list(labels)}
    properties = (
        {"label": names} if most is None else {"labels": {"type": "array", "items": names, "maxItems": most}}
    )
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def request_body(text, *, labels=LABELS, most=None, examples=(), logprobs=True):
    return {
        "model": "multilingual-e5-small",
        "messages": [
            {"role": "system", "content": system_message(labels, examples)},
            {"role": "user", "content": f"Classify the text.\n{json.dumps(text, ensure_ascii=False)}"},
        ],
        "temperature": 0,
        "max_tokens": 32,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": schema(labels, most)},
        },
        "logprobs": logprobs,
    }


class Client:
    """Asks an endpoint, and gives back status and body."""

    def __init__(self, session, base_url):
        self._session = session
        self.base_url = base_url

    async def get(self, path):
        async with self._session.get(self.base_url + path) as response:
            return response.status, await response.json()

    def send(self, body):
        data = BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        return self._session.post(f"{self.base_url}/chat/completions", data=data)

    async def post(self, body):
        async with self.send(body) as response:
            return response.status, await response.json()

    async def answer(self, body):
        status, reply = await self.post(body)
        assert status == 200, reply
        return reply


def content(reply):
    return reply["choices"][0]["message"]["content"]


def label(reply):
    return json.loads(content(reply))["label"]


def tokens(reply):
    return [(token["token"], token["logprob"]) for token in reply["choices"][0]["logprobs"]["content"]]
