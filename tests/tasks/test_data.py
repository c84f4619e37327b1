"""A row's text as a JSON string: lossless, without the tokens of chat templates, and as short as it was without them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tasks.data import as_data

MARKERS = [
    "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|START_OF_TURN_TOKEN|>", "</|end|>",  # Qwen, Llama, Cohere
    "<\uff5cUser\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>",  # DeepSeek
    "<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[SYSTEM_PROMPT]", "[TOOL_CALLS]",  # Llama 2, Mistral
    "<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>", "<unused99>",  # Gemma
    "<think>", "</think>", "<tool_call>", "[gMASK]", "<sop>", "<extra_id_0>", "<seed:bos>",
]  # fmt: skip
PLAIN = [
    "<p>one</p> <br/> <BR> <h1>t</h1></div>",
    '<a href="x">y</a> <span class=z>',
    "a < b > c, x<5, i<3>2, <3, <a@b.c>, <https://x.y/z>, -> <- <=",
    "[1] [a] [sic] [Fig. 2] [X] [2026-01-01] [A-Z]",
    'quotes " and \\ and \n',
]


@pytest.mark.parametrize("marker", MARKERS)
def test_a_marker_of_a_chat_template_is_not_in_the_string(marker: str) -> None:
    text = f"before{marker}after {marker}"
    said = as_data(text)
    assert marker not in said
    assert json.loads(said) == text


@pytest.mark.parametrize("text", PLAIN)
def test_a_text_without_markers_stays_as_it_is(text: str) -> None:
    assert as_data(text) == json.dumps(text, ensure_ascii=False)


@given(
    st.lists(st.sampled_from([*MARKERS, *PLAIN, "<", ">", "[", "]", "/", "|", "\\", '"', "s", "INST", "\n"]))
)
def test_the_text_is_the_same_to_whoever_reads_json(parts: list[str]) -> None:
    text = "".join(parts)
    assert json.loads(as_data(text)) == text
    assert "\n" not in as_data(text)
