"""Tasks that many people have: instructions, and labels with what belongs to each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Label:
    """A label, and what belongs to it.

    Attributes:
        name: As it stands in the output.
        description: What the model reads about it; may be empty.
    """

    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    """A task without its table.

    Attributes:
        kind: Whether a row gets one label or any number of them.
        instructions: What the model has to do.
        labels: The labels to choose from.
    """

    kind: Literal["single", "multi"]
    instructions: str
    labels: tuple[Label, ...]


_LANGUAGES = (
    *(
        "English",
        "German",
        "French",
        "Spanish",
        "Portuguese",
        "Italian",
        "Dutch",
        "Polish",
        "Russian",
        "Ukrainian",
    ),
    *("Turkish", "Arabic", "Hindi", "Chinese", "Japanese", "Korean"),
)

TEMPLATES: Mapping[str, Template] = {
    "sentiment": Template(
        "single",
        "Decide how the author of the text feels about its subject. Judge what the author says, not whether the subject is pleasant.",
        (
            Label("positive", "praise, joy, thanks, satisfaction, a recommendation"),
            Label("negative", "criticism, anger, disappointment, a complaint, a warning to others"),
            Label("neutral", "facts, questions or requests without a feeling"),
            Label("mixed", "clearly both praise and criticism"),
        ),
    ),
    "tickets": Template(
        "single",
        "Choose the team that has to answer this support ticket first. Judge by what the customer needs, not by the tone.",
        (
            Label("billing", "invoices, payments, charges, refunds, prices, cards, taxes"),
            Label("account", "sign-in, passwords, e-mail addresses, permissions, closing an account"),
            Label("technical", "errors, crashes, outages, slowness, something does not work"),
            Label("shipping", "delivery, tracking, addresses, returns, damaged or missing goods"),
            Label("how-to", "how to use or set up something that works"),
            Label("feature-request", "a wish for something that the product cannot do yet"),
            Label("sales", "questions before buying: offers, plans, licences, demos, partnerships"),
            Label("other", "spam, thanks, and what fits none of the others"),
        ),
    ),
    "moderation": Template(
        "multi",
        "Choose every kind of content that the text itself contains. Reporting, quoting or condemning such content does not count; "
        "most texts contain none of it.",
        (
            Label("harassment", "insults, bullying or threats against a person"),
            Label(
                "hate",
                "contempt for people because of origin, religion, sex, orientation, disability or the like",
            ),
            Label("violence", "threats of violence, praise for it, or calls for it"),
            Label("sexual", "sexually explicit content or solicitation"),
            Label("self-harm", "suicide or self-injury, as an intention, encouragement or instruction"),
            Label("illegal", "offers of or instructions for crimes, such as drugs, weapons or fraud"),
            Label("personal-data", "addresses, telephone numbers, account numbers or passwords of a person"),
            Label("spam", "unwanted advertising, scams, link farms, repeated nonsense"),
        ),
    ),
    "language": Template(
        "single",
        "Choose the language in which most of the text is written. Names, quotations and program code do not count.",
        (
            *map(Label, _LANGUAGES),
            Label("other", "any other language, or no language at all: numbers, links, code"),
        ),
    ),
    "intent": Template(
        "single",
        "Choose what the author wants to achieve with this message. If there are several aims, choose the main one.",
        (
            Label("question", "wants to know something"),
            Label("request", "wants something to be done, sent or changed"),
            Label("problem", "reports that something is broken or wrong"),
            Label("complaint", "is dissatisfied and wants that to be heard or made good"),
            Label("purchase", "wants to buy, order, book or subscribe"),
            Label("cancellation", "wants to cancel, return or end something"),
            Label("feedback", "praise, opinions and suggestions that need no action"),
            Label("other", "greetings, spam, and messages without an aim that can be seen"),
        ),
    ),
    "topics": Template(
        "multi",
        "Choose every topic that the text is about. A topic that is only mentioned in passing does not count.",
        (
            Label("business", "companies, markets, money, jobs, the economy"),
            Label("politics", "governments, elections, laws, parties, diplomacy, war"),
            Label("science", "research, space, mathematics, nature, the environment"),
            Label("technology", "computers, software, the internet, devices, engineering"),
            Label("health", "medicine, illness, food as nutrition, fitness, psychology"),
            Label("sports", "matches, athletes, clubs, competitions"),
            Label("culture", "books, film, music, art, games, celebrities"),
            Label("education", "schools, universities, learning, teaching"),
            Label("travel", "places, transport, hotels, tourism"),
            Label("everyday-life", "family, home, cooking, shopping, relationships"),
        ),
    ),
}
"""Name to template."""
