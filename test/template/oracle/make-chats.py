"""Renders conversations with real chat templates by Jinja2. The templates come from llama.cpp's
source tree (MIT licence), which is in the npm package node-llama-cpp 3.22.1: `git clone
node_modules/node-llama-cpp/llama/gitRelease.bundle llama.cpp`.

Usage: python3 make-chats.py llama.cpp/models/templates
Writes ../fixtures/templates.json.gz (their sources) and ../fixtures/chats.json.gz.
"""

import json
import pathlib
import sys

from environment import make_environment, render, write

CALL = {"id": "call00001", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Zürich", "days": 3, "limit": 105.0, "id": 9007199254740993, "nested": {"b": [1, None, True], "a": "x<y & 'z'\n"}}}}
EMPTY_CALL = {"id": "call00002", "type": "function", "function": {"name": "now", "arguments": {}}}
TEXT_CALL = {"id": "call00003", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\": \"Bern\", \"limit\": 105.0}"}}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "The weather, \"now\" & <then>.", "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "A city"}, "days": {"type": "integer", "minimum": 1, "maximum": 9007199254740993, "default": 3}, "limit": {"type": "number", "default": 105.0}, "unit": {"type": "string", "enum": ["C", "F"]}, "tags": {"type": "array", "items": {"type": "string"}}, "deep": {"type": "object", "properties": {"10": {"type": "boolean"}, "2": {"type": ["string", "null"]}}, "required": ["2"]}, "any": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "now", "description": "The time.", "parameters": {"type": "object", "properties": {}}}},
]
SYSTEM = {"role": "system", "content": "You are brief.\n"}
USER = {"role": "user", "content": "What's up in Zürich? 😀"}
ANSWER = {"role": "assistant", "content": "  Rain.\n\n"}
THOUGHT = {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nRain."}
REASONED = {"role": "assistant", "reasoning_content": "Hm.\n", "thinking": "Hm.\n", "content": "Rain."}
RESULT = {"role": "tool", "tool_call_id": "call00001", "name": "get_weather", "content": "{\"rain\": 105.0, \"id\": 9007199254740993}"}
PARTS = {"role": "user", "content": [{"type": "text", "text": "One. "}, {"type": "text", "text": "Two."}]}
IMAGE = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}


def calls(*items, content=""):
    return {"role": "assistant", "content": content, "tool_calls": list(items)}


CONVERSATIONS = {
    "question": {"messages": [USER]},
    "no prompt": {"messages": [USER], "add_generation_prompt": False},
    "system": {"messages": [SYSTEM, USER]},
    "turns": {"messages": [SYSTEM, USER, ANSWER, USER]},
    "ends with an answer": {"messages": [USER, ANSWER], "add_generation_prompt": False},
    "thinking on": {"messages": [USER, THOUGHT, USER], "enable_thinking": True, "thinking": True},
    "thinking off": {"messages": [USER, THOUGHT, USER], "enable_thinking": False, "thinking": False},
    "reasoning": {"messages": [USER, REASONED, USER]},
    "effort": {"messages": [USER], "reasoning_effort": "high"},
    "tools": {"messages": [USER], "tools": TOOLS},
    "tools, system": {"messages": [SYSTEM, USER], "tools": TOOLS, "enable_thinking": False},
    "call and result": {"messages": [USER, calls(CALL), RESULT], "tools": TOOLS},
    "call, result, answer": {"messages": [SYSTEM, USER, calls(CALL, content="Let me see."), RESULT, ANSWER, USER], "tools": TOOLS},
    "two calls": {"messages": [USER, calls(CALL, EMPTY_CALL), RESULT, {**RESULT, "tool_call_id": "call00002", "name": "now", "content": "12"}], "tools": TOOLS},
    "text arguments": {"messages": [USER, calls(TEXT_CALL), RESULT], "tools": TOOLS},
    "call of nothing": {"messages": [USER, {**calls(EMPTY_CALL), "content": None}, RESULT]},
    "reasoned call": {"messages": [USER, {**calls(CALL), "reasoning_content": "Look."}, RESULT, REASONED, USER], "tools": TOOLS},
    "parts": {"messages": [SYSTEM, PARTS, ANSWER, PARTS]},
    "image": {"messages": [IMAGE]},
    "result in parts": {"messages": [USER, calls(CALL), {**RESULT, "content": [{"type": "text", "text": "12"}]}], "tools": TOOLS},
    "two users": {"messages": [USER, USER]},
    "unknown role": {"messages": [USER, {"role": "critic", "content": "Bah."}]},
    "nothing": {"messages": []},
    "odd text": {"messages": [{"role": "user", "content": "{{ x }} {% if %} \u00a0\u2028\\n \t\r\n<|im_end|>"}]},
    "developer": {"messages": [{"role": "developer", "content": "Rules."}, USER]},
    "documents": {"messages": [USER], "documents": [{"title": "T", "text": "Text."}]},
}


def main():
    folder = pathlib.Path(sys.argv[1])
    environment = make_environment()
    environment.filters["from_json"] = json.loads
    sources = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.jinja"))}
    results = {}
    for name, source in sources.items():
        results[name] = {}
        for title, conversation in CONVERSATIONS.items():
            variables = {"add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>", **conversation}
            result = render(environment, source, variables)
            if result is not False:
                results[name][title] = result
    write("templates.json.gz", sources)
    write("chats.json.gz", {"conversations": {title: json.dumps(item) for title, item in CONVERSATIONS.items()}, "results": results})
    outcomes = [text for item in results.values() for text in item.values()]
    print(f"{len(outcomes)} conversations, {sum(text is None for text in outcomes)} refused")


main()
