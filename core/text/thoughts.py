"""Takes a model's reasoning out of its text, where a server has not done so.

The marks are what public models emit and what servers' own parsers look for. A thought stands at
the start of a text; the same marks inside an answer are part of the answer, such as a quoted page.
"""

from __future__ import annotations

import json
import re

_TAGS = ("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "seed:think")
"""``<think>``: DeepSeek R1, Qwen3, GLM, MiniMax, Step (vLLM and SGLang, reasoning parsers; without
its first tag: ggml-org/llama.cpp 23320, logancyang/obsidian-copilot 2153). ``<seed:think>``:
Seed-OSS. ``<thinking>``, ``<thought>``, ``<reasoning>``: models that are asked to by their
system prompt, Gemini's OpenAI endpoint."""
MARKS = (
    *((f"<{tag}>", f"</{tag}>") for tag in _TAGS),
    ("[THINK]", "[/THINK]"),  # Magistral
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"),  # Kimi-VL, Kimi K2 Thinking
    ("<|begin_of_thought|>", "<|end_of_thought|>"),  # OpenThinker, Sky-T1
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Cohere Command A Reasoning
    ("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    ("<unused94>", "<unused95>"),  # MedGemma
    ("<|channel>thought", "<channel|>"),  # Gemma 4
)
"""The marks before and after a thought."""
WRAPPERS = (
    ("<answer>", "</answer>"),  # Hunyuan-A13B
    ("<response>", "</response>"),  # ERNIE-4.5
    ("<|begin_of_solution|>", "<|end_of_solution|>"),  # OpenThinker
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),  # Cohere
    ("<|begin_of_box|>", "<|end_of_box|>"),  # GLM-4.5V
)
"""What models put around the answer that follows a thought."""
_CHANNEL = re.compile(
    r"<\|channel\|>\s{0,9}(\w{1,20})[^<]{0,80}(?:<\|constrain\|>\w{1,20})?<\|message\|>"
)
"""The head of a message in gpt-oss's format (openai/harmony). A server that leaves special tokens
out of a text leaves ``analysis...assistantfinal...`` of it (Augustas11/macprovider 743)."""
_CHANNEL_END = re.compile(r"<\|(?:end|return|call|start)\|>")
_BARE_FINAL = "assistantfinal"
_OPEN = {mark: re.compile(re.escape(mark[0]), re.IGNORECASE) for mark in MARKS}
_CLOSE = {mark: re.compile(re.escape(mark[1]), re.IGNORECASE) for mark in MARKS}
_MARK_OF = {mark[1].lower(): mark for mark in MARKS}
_ANY_CLOSE = re.compile("|".join(re.escape(close) for _, close in MARKS), re.IGNORECASE)
_AROUND = 200
"""Characters around a mark that tell whether it is quoted."""
_BLANK = " \t\r\n\ufeff\u200b"
_QUOTES = "\"'`\u00b4\u2018\u2019\u201c\u201d\u00ab\u00bb()"


def split_thoughts(text: str) -> tuple[str, str]:
    """(thoughts, answer) of a model's text. The answer is empty if the text is cut inside a
    thought, and the text as it is if no thought stands at its start."""
    thoughts, answer = _channels(text) or _before_lone_close(text)
    answer, more = _leading(answer)
    found = [*([thoughts] if thoughts is not None else []), *more]
    if not found:
        return "", text
    return "\n\n".join(part for part in map(_stripped, found) if part), _unwrapped(answer)


def _leading(text: str) -> tuple[str, list[str]]:
    """The text after the thoughts at its start, and these."""
    thoughts: list[str] = []
    at = 0
    while (opened := _open_at(text, at)) is not None:
        start, mark = opened
        close = _CLOSE[mark].search(text, start)
        if close is None:
            return "", [*thoughts, text[start:]]
        thoughts.append(text[start : close.start()])
        at = close.end()
    return text[at:], thoughts


def _open_at(text: str, at: int) -> tuple[int, tuple[str, str]] | None:
    """Where a thought begins whose mark stands at ``at``, blanks aside; and its marks."""
    while at < len(text) and text[at] in _BLANK:
        at += 1
    for mark, pattern in _OPEN.items():
        if (match := pattern.match(text, at)) is not None:
            return match.end(), mark
    return None


def _before_lone_close(text: str) -> tuple[str | None, str]:
    """What stands before a mark that ends a thought which no mark begins: many chat templates put
    the first mark into the prompt. None where there is no such mark."""
    for close in _ANY_CLOSE.finditer(text):
        begun = _OPEN[_MARK_OF[close[0].lower()]].search(text, 0, close.start())
        if begun is not None:
            return None, text
        start, end = close.span()
        if not _is_quoted(text[max(start - _AROUND, 0) : start], text[end : end + _AROUND]):
            return (None, text) if _is_json(text) else (text[:start], text[end:])
    return None, text


def _is_quoted(before: str, after: str) -> bool:
    """Whether a mark between these is part of a sentence: it stands in quotation marks, or the
    sentence goes on behind it."""
    if before[-1:] not in (*_QUOTES, " ", "\t") or after[:1] not in (*_QUOTES, *" \t.,;:"):
        return False
    if before[-1] in _QUOTES and after[0] in _QUOTES:
        return True
    line = after.partition("\n")[0].strip()
    goes_on = bool(line) and (line[0].islower() or line[0] in (*".,;:", *_QUOTES))
    return goes_on and before.rstrip()[-1:] not in (*".!?:;", "\u3002", "\uff01", "\uff1f")


def _is_json(text: str) -> bool:
    if text.lstrip(_BLANK)[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _channels(text: str) -> tuple[str, str] | None:
    """(other channels, the final one) of a text in gpt-oss's format; None of any other text."""
    heads = list(_CHANNEL.finditer(text))
    first = text.lstrip(_BLANK)
    if not heads:
        if first.startswith("analysis") and _BARE_FINAL in first:
            thought, _, answer = first.partition(_BARE_FINAL)
            return thought.removeprefix("analysis"), answer
        return None
    if not first.startswith(("<|channel|>", "<|start|>")) and heads[-1][1] != "final":
        return None  # the format begins in the prompt, or is quoted in an answer
    thoughts, answer = [text[: heads[0].start()]], ""
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        part = text[head.end() : following.start() if following else len(text)]
        part = _CHANNEL_END.split(part, maxsplit=1)[0]
        if head[1] == "final":
            answer = part
        else:
            thoughts.append(part)
    return "\n\n".join(_without_tokens(part) for part in thoughts), answer


def _without_tokens(text: str) -> str:
    return re.sub(r"<\|(?:start|end|return|call)\|>(?:assistant)?", "", text).strip()


def _stripped(text: str) -> str:
    return text.strip(_BLANK)


def _unwrapped(answer: str) -> str:
    answer = answer.strip(_BLANK)
    for begin, end in WRAPPERS:
        if answer.lower().startswith(begin.lower()):
            inside = answer[len(begin) :]
            at = inside.lower().rfind(end.lower())
            return (
                inside.strip(_BLANK)
                if at < 0
                else (inside[:at] + inside[at + len(end) :]).strip(_BLANK)
            )
    return answer
