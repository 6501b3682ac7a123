"""Jinja2 as Hugging Face sets it up for chat templates, and what records its results.

Needs jinja2 3.1.6 (`pip install jinja2==3.1.6`) and Python 3.11 or later.
"""

import copy
import gzip
import json
import os
import re
from datetime import datetime

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

os.environ["TZ"] = "UTC"
NOW = datetime(2026, 3, 9, 8, 5, 7)
FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")


class Generation(Extension):
    """The `generation` block, which only marks what the assistant says."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_body")
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def raise_exception(message):
    raise TemplateError(message)


def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def make_environment():
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: NOW.strftime(form)
    return environment


ADDRESS = re.compile(r"(object|function|method|built-in).* at 0x[0-9a-f]+|bound method|<class '|<function \\w+ at|<built-in ")


def render(environment, source, variables):
    """The text, None for an error, or False where the result differs from run to run."""
    try:
        # A copy, as even an immutable sandbox changes a list that `indent` is given.
        text = environment.from_string(source).render(**copy.deepcopy(variables))
    except BaseException:  # whatever goes wrong, RecursionError too
        return None
    return False if ADDRESS.search(text) else text


def write(name, value):
    """Writes compressed JSON that is the same for the same value."""
    path = os.path.join(FIXTURES, name)
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    with open(path, "wb") as file:
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0, compresslevel=9) as packed:
            packed.write(text.encode())
    print(f"{name}: {os.path.getsize(path)} bytes")
