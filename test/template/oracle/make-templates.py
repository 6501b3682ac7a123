"""Records what Jinja2 makes of statements: white space, scopes, loops, macros, blocks, errors. It
writes ../fixtures/statements.json.gz.
"""

import itertools
import json

from environment import make_environment, render, write

VARIABLES = {
    "x": "X",
    "n": 3,
    "none_value": None,
    "yes": True,
    "list": [1, 2, 3],
    "words": ["a", "b", "b", "c"],
    "empty": [],
    "dict": {"k": "v", "l": [1, 2]},
    "html": "<b>&",
    "tree": [{"v": 1, "c": [{"v": 2, "c": []}, {"v": 3, "c": [{"v": 4, "c": []}]}]}, {"v": 5, "c": []}],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi <there>"},
        {"role": "assistant", "content": None, "tool_calls": [{"name": "f", "arguments": {"a": 1.0, "b": [1, None]}}]},
    ],
}


def white_space():
    opens = ["{%", "{%-", "{%+"]
    closes = ["%}", "-%}", "+%}"]
    gaps = ["", " ", "\n", "  \n  ", " a ", "\n\n", "a\n ", " \n b"]
    for left, right, before, after in itertools.product(opens, closes, gaps, gaps):
        yield f"A{before}{left} if true {right}{after}B{left} endif {right}{after}C"
    for left, right, before, after in itertools.product(["{#", "{#-", "{#+"], ["#}", "-#}", "+#}"], gaps, gaps):
        yield f"A{before}{left} note {right}{after}B"
    for left, right, before, after in itertools.product(["{{", "{{-", "{{+"], ["}}", "-}}", "+}}"], gaps, gaps[:5]):
        yield f"A{before}{left} x {right}{after}B"
    for left, right, before in itertools.product(opens, closes, gaps):
        yield f"A{before}{left} raw {right}{before}{{{{ x }}}}{before}{left} endraw {right}{before}B"
        yield f"{before}{left} set y = 1 {right}{before}{{{{ y }}}}{before}"
        yield f"{before}{left} for i in list {right}{before}{{{{ i }}}}{before}{left} endfor {right}{before}."
    yield from [
        "", "\n", "a\n", "a\n\n", "a\r\nb\r", "\r\n", "{{ x }}\n", "{% if yes %}\n\n{% endif %}\n\n", "  {% if yes %}x{% endif %}  \n  y",
        "{%if yes%}a{%endif%}", "{%- if yes -%} a {%- endif -%} ", "{{'a'}}{{\"b\"}}", "{{ '}}' }}", "{{ '%}' }}", "{% set a = '%}' %}{{ a }}", "{{ {'a': {'b': 1}}}}",
        "{{ {} }}", "{{{'a': 1}['a']}}", "{ { x } }", "{ %", "{{", "{%", "{#", "}}", "%}", "#}", "a}}b", "{{ x", "{% if", "{# x", "{% raw %}", "{% raw %}x", "{% endraw %}",
        "{% raw -%} x {%- endraw %}", "{%raw%}{% if %}{{ }}{# #}{%endraw%}", "{% raw %}{% raw %}{% endraw %}", "{#{{ x }}#}", "{# {% if %} #}", "{# {# #} #}", "a{# #}\nb", "a {#- -#} b",
        "\t{% if yes %}\t\na\t{% endif %}", "\u00a0{% if yes %}a{% endif %}", "\x0b{% if yes %}a{%- endif %}", "{{- x -}}", "a\n{{- x -}}\nb", "{{+ x +}}", "{{ -1 }}", "{{-1}}", "{{--1}}", "{{ x -}}   ", "   {{- x }}",
        "x{%+ if yes %}y{% endif +%}\nz", "  {%+ if yes %}y{% endif %}", "a\n  {# c #}\nb", "a\n  {#+ c #}\nb", "a\n  {# c +#}\nb", "{% if yes %}\n  a\n{% else %}\n  b\n{% endif %}\nend",
        "{% for i in list %}\n  {{ i }}\n{% endfor %}\n", "{% for i in list -%}\n  {{ i }}\n{%- endfor %}\n", "{% set y %}\n a \n{% endset %}[{{ y }}]", "{% macro m() %}\n a \n{% endmacro %}[{{ m() }}]",
        "{{ x }} {{ x }}\n{{ x }}", "# line\n## x", "% x", "{% if yes %}{{ '\n' }}{% endif %}", "{{ 'a\r\nb'|length }}", "{{ 'a\\r\\nb'|length }}",
    ]


SCOPES = """
{% for i in list %}{% set x = i %}{{ x }}{% endfor %}{{ x }}
{% set x = 1 %}{% for i in list %}{{ x }}{% set x = x + i %}{{ x }};{% endfor %}{{ x }}
{% for i in list %}{% if loop.first %}{% set z = i %}{% endif %}{{ z }},{% endfor %}{{ z }}
{% if yes %}{% set y = 1 %}{% endif %}{{ y }}
{% if not yes %}{% set x = 1 %}{% endif %}{{ x }}
{% if not yes %}{% set x = 1 %}{% else %}{% set w = 2 %}{% endif %}{{ x }}{{ w }}
{% if not yes %}{% set x = 1 %}{% elif n == 4 %}{% set x = 2 %}{% else %}{% endif %}{{ x }}
{{ x }}{% set x = 2 %}{{ x }}
{% set x = x ~ 'y' %}{{ x }}
{% set q = q %}{{ q is defined }}
{% with %}{% set x = 5 %}{{ x }}{% endwith %}{{ x }}
{% with x = 1, y = x %}{{ x }}{{ y }}{% endwith %}{{ x }}
{% with a = 1 %}{% with b = a %}{{ a }}{{ b }}{% endwith %}{{ b }}{% endwith %}
{% with a, b = [1, 2] %}{{ a }}{{ b }}{% endwith %}
{% with (a, b) = (1, 2), c = 3 %}{{ a }}{{ b }}{{ c }}{% endwith %}
{% with a.b = 1 %}{% endwith %}
{% with a %}{% endwith %}
{% set ns = namespace(c=0) %}{% for i in list %}{% set ns.c = ns.c + i %}{% endfor %}{{ ns.c }}
{% set ns = namespace() %}{% set ns.a = 1 %}{% set ns.b = ns.a + 1 %}{{ ns.a }}{{ ns.b }}{{ ns.z }}
{% set ns = {} %}{% set ns.a = 1 %}
{% set nope.a = 1 %}
{% set x.a = 1 %}
{% set ns = namespace(a=1) %}{% set ns.a, y = 2, 3 %}{{ ns.a }}{{ y }}
{% set ns = namespace(a=1) %}{% set ns['a'] = 2 %}
{% set ns = namespace(a=1) %}{% macro m() %}{% set ns.a = ns.a + 1 %}{% endmacro %}{{ m() }}{{ m() }}{{ ns.a }}
{% set ns = namespace(a=1) %}{% with %}{% set ns.a = 7 %}{% endwith %}{{ ns.a }}
{% set ns = namespace(a=1) %}{{ ns }}
{% set ns = namespace(a=1) %}{{ ns is mapping }}{{ ns is iterable }}{{ ns|string }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set a, b = [1, 2, 3] %}{{ a }}
{% set a, b = [1] %}{{ a }}
{% set a, b = 'xy' %}{{ a }}{{ b }}
{% set a, b = 5 %}{{ a }}
{% set a, b = nope %}{{ a }}
{% set (a, b), c = (1, 2), 3 %}{{ a }}{{ b }}{{ c }}
{% set a, = [1] %}{{ a }}
{% set a = 1, %}{{ a }}
{% set a = 1, 2 %}{{ a }}
{% set a = 1 if yes else 2 %}{{ a }}
{% set %}
{% set a %}{% endset %}[{{ a }}]
{% set a = %}
{% set 1 = 2 %}
{% set true = 2 %}
{% set none = 1 %}
{% set a.b.c = 1 %}
{% set a b = 1 %}
{% set a %}x{{ n }}{% endset %}{{ a|length }}{{ a }}
{% set a | upper %}abc{% endset %}{{ a }}
{% set a | replace('b', 'x') | upper %}abc{% endset %}{{ a }}
{% set a | nofilter %}abc{% endset %}
{% set ns = namespace() %}{% set ns.t %}abc{% endset %}{{ ns.t }}
{% for i in list %}{% set a %}{{ i }}{% endset %}{{ a }}{% endfor %}{{ a }}
{% set a %}{% set b = 1 %}{{ b }}{% endset %}{{ a }}{{ b }}
{% macro m(a) %}{% set x = a %}{{ x }}{% endmacro %}{{ m(1) }}{{ x }}
{% macro m() %}{{ x }}{{ later }}{% endmacro %}{% set later = 5 %}{{ m() }}
{% macro m() %}{{ x }}{% endmacro %}{% set x = 'new' %}{{ m() }}
{% macro m() %}{{ loop }}{% endmacro %}{% for i in list %}{{ m() }}{% endfor %}
{% macro m() %}{{ i }}{% endmacro %}{% for i in list %}{{ m() }}{% endfor %}
{% for i in list %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}{{ m is defined }}
{% for i in list %}{% set k = i %}{% macro m() %}{{ k }}{% endmacro %}{{ m() }}{% endfor %}
{% if yes %}{% macro m() %}in{% endmacro %}{% endif %}{{ m() }}
{% macro outer() %}{% macro inner() %}i{{ x }}{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}{{ inner is defined }}
{% macro rec(k) %}{{ k }}{% if k > 0 %}{{ rec(k - 1) }}{% endif %}{% endmacro %}{{ rec(4) }}
{% macro rec() %}{{ rec() }}{% endmacro %}{{ rec() }}
{% for i in list %}{% for i in words %}{{ i }}{% endfor %}{{ i }}{% endfor %}{{ i }}
{% for x in list %}{{ x }}{% endfor %}{{ x }}
{% for k, v in dict.items() %}{{ k }}={{ v }};{% endfor %}
{% for k in dict %}{{ k }}{% endfor %}
{% for (k, v) in dict.items() %}{{ k }}{% endfor %}
{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for a, b in [[1, 2, 3]] %}{{ a }}{% endfor %}
{% for a, b in ['xy'] %}{{ a }}-{{ b }}{% endfor %}
{% for a, b in [1] %}{{ a }}{% endfor %}
{% for a.b in list %}{% endfor %}
{% for loop in list %}{% endfor %}
{% for i in list %}{% set loop = 1 %}{% endfor %}
{% set loop = 5 %}{{ loop }}
{% for i in nope %}x{% else %}none{% endfor %}
{% for i in none_value %}x{% endfor %}
{% for i in 5 %}x{% endfor %}
{% for i in 'héy' %}{{ i }}.{% endfor %}
{% for i in empty %}x{% else %}e{% set q = 1 %}{{ q }}{% endfor %}{{ q }}
{% for i in list %}x{% else %}e{% endfor %}
{% for i in 1, 2 %}{{ i }}{% endfor %}
{% for i in (1, 2) if i > 1 %}{{ i }}{% endfor %}
{% for i in list if i is odd %}{{ loop.index }}:{{ i }}/{{ loop.length }}{% if not loop.last %},{% endif %}{% endfor %}
{% for i in list if nope %}x{% else %}e{% endfor %}
{% for i in list if i > x %}x{% endfor %}
{% for i in list if loop.first %}{{ i }}{% endfor %}
{% for i in list if i != 2 recursive %}{{ i }}{% endfor %}
{% for i in list|map('string') %}{{ i }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }};{% endfor %}
{% for i in list|reverse %}{{ i }}{{ loop.revindex0 }}{{ loop.length }}{% endfor %}
{% for i in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}
{% for i in list %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }};{% endfor %}
{% for i in [none, 1, none] %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }};{% endfor %}
{% for i in list %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}
{% for i in words %}{{ i }}{{ loop.changed(i) }}{% endfor %}
{% for i in words %}{% if loop.changed(i, 1) %}{{ i }}{% endif %}{% endfor %}
{% for i in list %}{{ loop.changed() }}{% endfor %}
{% for i in list %}{{ loop.cycle('a', 'b') }}{% endfor %}
{% for i in list %}{{ loop.cycle() }}{% endfor %}
{% for i in list %}{{ loop }}{% endfor %}
{% for i in list %}{{ loop.nope }}{{ loop['index'] }}{{ loop.nope is defined }}{% endfor %}
{% for i in list %}{{ loop._x }}{{ loop.__class__ }}{% endfor %}
{% for i in list %}{% for j in list %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}
{% for i in list %}{% set outer = loop %}{% for j in words %}{{ outer.index }}{{ loop.index }}{% endfor %};{% endfor %}
{% for i in list %}{% for j in empty %}{% else %}{{ loop.index }}{% endfor %}{% endfor %}
{% for i in list %}{{ loop(list) }}{% endfor %}
{{ loop }}{{ loop is defined }}
{% for t in tree recursive %}{{ t.v }}{% if t.c %}({{ loop(t.c) }}){% endif %}{{ loop.depth }}{% endfor %}
{% for t in tree recursive %}[{{ loop.index }}/{{ loop.length }} {{ t.v }}{{ loop(t.c) }}]{% else %}e{% endfor %}
{% for t in tree recursive %}{% set q = t.v %}{{ q }}{{ loop(t.c) }}{{ q }}{% endfor %}{{ q }}
{% for t in tree if t.v != 3 recursive %}{{ t.v }}{{ loop(t.c) }}{% endfor %}
{% for t in tree recursive %}{{ loop(tree) }}{% endfor %}
{% for i in list %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for i in list %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}
{% for i in list %}{% break %}{% else %}e{% endfor %}
{% for i in list %}{% continue %}{% else %}e{% endfor %}
{% for i in list %}{% if i == 2 %}{% break %}{% endif %}{% else %}e{% endfor %}
{% for i in list %}{% for j in list %}{% if j == 2 %}{% break %}{% endif %}{{ j }}{% endfor %}{{ i }}{% endfor %}
{% for i in list %}{% with %}{% if i == 2 %}{% continue %}{% endif %}{% endwith %}{{ i }}{% endfor %}
{% for i in list %}{% set a %}q{% if i == 2 %}{% break %}{% endif %}{% endset %}{{ i }}{{ a }}{% endfor %}
{% for i in list %}{% filter upper %}q{% if i == 2 %}{% continue %}{% endif %}{% endfilter %}{{ i }}{% endfor %}
{% for i in list %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}
{% for i in list %}{% call x() %}{% break %}{% endcall %}{% endfor %}
{% for i in list %}{% generation %}{% break %}{% endgeneration %}{% endfor %}
{% for i in empty %}{% else %}{% break %}{% endfor %}
{% for i in list %}{% for j in empty %}{% else %}{% break %}{% endfor %}{{ i }}{% endfor %}
{% break %}
{% continue %}
{% if yes %}{% break %}{% endif %}
{% macro m(a, b=2, c='c') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c=4) }}{{ m(b=1, a=2) }}{{ m() }}
{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 2) }}
{% macro m(a=b, b=1) %}{{ a }}{{ b }}{% endmacro %}{{ m() }}
{% macro m(a, b=x) %}{{ b }}{% endmacro %}{{ m(1) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}
{% macro m(a) %}{{ a is defined }}{{ a }}{% endmacro %}{{ m() }}
{% macro m(a) %}{{ a.b }}{% endmacro %}{{ m() }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, z=3) }}{{ m() }}
{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, z=3) }}
{% macro m(a) %}{{ kwargs }}{% endmacro %}{{ m(1, 2) }}
{% macro m(kwargs) %}{{ kwargs }}{% endmacro %}{{ m(1) }}
{% macro m(varargs=3) %}{{ varargs }}{% endmacro %}{{ m() }}
{% macro m(*args) %}{% endmacro %}
{% macro m(a, a) %}{% endmacro %}
{% macro m(a=1, b) %}{% endmacro %}
{% macro m %}{% endmacro %}
{% macro m() %}a{% endmacro m %}{{ m() }}
{% macro true() %}{% endmacro %}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(*[1]) }}{{ m(**{'a': 2}) }}{{ m(*list) }}
{% macro m(a, b, c) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(*list) }}{{ m(1, *[2], **{'c': 3}) }}{{ m(1, **{'a': 2}) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(**nope) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(**{1: 2}) }}
{% macro m(a, b) %}x{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}{{ m.catch_varargs }}{{ m.caller }}
{% macro m() %}{{ caller() }}{{ varargs }}{% endmacro %}{{ m.caller }}{{ m.catch_varargs }}{{ m }}
{% macro m() %}x{% endmacro %}{{ m is callable }}{{ m is string }}{{ m()|upper }}{{ m() is string }}{{ m() ~ 1 }}{{ m() + 'y' }}
{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}body{{ x }}{% endcall %}
{% macro m() %}[{{ caller(1, 2) }}]{% endmacro %}{% call(a, b) m() %}{{ a }}{{ b }}{% endcall %}
{% macro m() %}[{{ caller(1) }}]{% endmacro %}{% call(a, b=5) m() %}{{ a }}{{ b }}{% endcall %}
{% macro m() %}[{{ caller() }}]{% endmacro %}{{ m() }}
{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}
{% macro m(caller=none) %}{{ caller }}{% endmacro %}{{ m() }}
{% macro m(caller) %}{{ caller() }}{% endmacro %}{{ m() }}
{% macro m(q, caller=none) %}{{ q }}{{ caller() if caller else '-' }}{% endmacro %}{{ m(1) }}{% call m(2) %}b{% endcall %}
{% macro m() %}{{ caller() if caller else 'no' }}{% endmacro %}{{ m() }}{% call m() %}b{% endcall %}
{% macro m() %}{% set c = caller %}{{ c() }}{% endmacro %}{% call m() %}b{% endcall %}
{% macro m(l) %}{% for i in l %}<{{ caller(i) }}>{% endfor %}{% endmacro %}{% call(i) m(list) %}{{ i * 2 }}{{ x }}{% endcall %}
{% macro a() %}a{{ caller() }}{% endmacro %}{% macro b() %}b{{ caller() }}{% endmacro %}{% call a() %}{% call b() %}c{% endcall %}{% endcall %}
{% call x %}{% endcall %}
{% call nope() %}{% endcall %}
{% call 'a'.upper() %}{% endcall %}
{% call(a) %}{% endcall %}
{% for i in list %}{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ i }}{{ loop.index }}{% endcall %}{% endfor %}
{% call namespace() %}{% endcall %}
{% filter upper %}a{{ x }}b{% endfilter %}
{% filter replace('a', 'z')|upper %}abc{% endfilter %}
{% filter indent(2) %}a\nb{% endfilter %}
{% filter nofilter %}a{% endfilter %}
{% filter upper %}{% set fx = 1 %}{{ fx }}{% endfilter %}{{ fx }}
{% filter trim|length %} abc {% endfilter %}
{% filter %}a{% endfilter %}
{% filter tojson %}a"b{% endfilter %}
{% block a %}A{{ x }}{% endblock %}
{% block a %}A{% endblock a %}{{ self.a() }}
{% block a %}A{% endblock b %}
{% block a %}1{% endblock %}{% block a %}2{% endblock %}
{% set y = 1 %}{% block a %}{{ y }}{% endblock %}
{% for i in list %}{% block a %}{{ i }}{% endblock %}{% endfor %}
{% for i in list %}{% block a scoped %}{{ i }}{{ loop.index }}{% endblock %}{% endfor %}
{% block a required %}{% endblock %}
{% block a required %}x{% endblock %}
{% block a %}{{ super() }}{% endblock %}
{% block a %}{{ super is defined }}{% endblock %}
{% block a-b %}{% endblock %}
{% block %}{% endblock %}
{% block a %}{% set z = 1 %}{{ z }}{% endblock %}{{ z }}
{% block a %}{% block b %}in{% endblock %}{% endblock %}{{ self.b() }}
{{ self }}{{ self.nope }}{{ self.nope is defined }}
{{ self.nope() }}
{% block a %}{{ self.a() }}{% endblock %}
{% macro m() %}{% block a %}in{% endblock %}{% endmacro %}{{ m() }}
{% generation %}g{{ x }}{% set gx = 1 %}{{ gx }}{% endgeneration %}{{ gx }}
{% for i in list %}{% generation %}{{ i }}{{ loop.index }}{% endgeneration %}{% endfor %}
{% generation %}
{% endgeneration %}
{% autoescape true %}{{ html }}{{ html|safe }}{{ '<' }}{{ html|e }}{% endautoescape %}{{ html }}
{% autoescape false %}{{ html }}{{ html|e }}{% endautoescape %}
{% autoescape yes %}{{ html }}{{ html|safe }}{{ '<' ~ html }}{% endautoescape %}
{% autoescape none_value %}{{ html }}{% endautoescape %}
{% autoescape true %}{{ html ~ '<' }}{{ (html|safe) ~ '<' }}{{ html|upper }}{{ [html, '<'|safe]|join('&') }}{{ [html]|join('&') }}{{ html|replace('<', '>') }}{{ html|replace('b', '<'|safe) }}{% endautoescape %}
{% autoescape true %}{% set a %}<{{ html }}>{% endset %}{{ a }}{{ a is escaped }}{% endautoescape %}
{% autoescape true %}{% macro m(v) %}<{{ v }}>{% endmacro %}{{ m(html) }}{{ m(html)|length }}{% endautoescape %}
{% autoescape true %}{% filter upper %}<{{ html }}{% endfilter %}{{ {'a': html}|xmlattr }}{{ 'http://a.de <'|urlize }}{% endautoescape %}
{% autoescape true %}{{ html|tojson }}{{ html|trim }}{{ [html] }}{{ html|indent }}{{ html|title }}{{ "%s"|format(html) }}{{ ("%s"|safe)|format(html) }}{% endautoescape %}
{% autoescape true %}{% for i in [html] recursive %}{{ i }}{% endfor %}{% call x %}{% endautoescape %}
{% macro m() %}<{{ html }}{% endmacro %}{% autoescape true %}{{ m() }}{% endautoescape %}
{% print x, n %}
{% print %}
{% print x n %}
{% do x %}
{% if %}x{% endif %}
{% if yes %}x
{% endif %}
{% if yes %}{% else %}{% else %}{% endif %}
{% if yes %}{% elif %}{% endif %}
{% elif x %}
{% else %}
{% endfor %}
{% if yes %}{% endfor %}
{% for i in list %}{% endif %}
{% for i list %}{% endfor %}
{% for in list %}{% endfor %}
{% for i in %}{% endfor %}
{% for i in list %}
{% for i in list recursive if i %}{% endfor %}
{% for i in list if %}{% endfor %}
{% if x = 1 %}{% endif %}
{% if 1, 2 %}a{% endif %}
{% if () %}a{% else %}b{% endif %}
{% if x if yes else n %}a{% endif %}
{% if yes: %}a{% endif %}
{% for i in list: %}{{ i }}{% endfor %}
{% else %}{% endif %}
{% unknown %}
{% 1 %}
{% %}
{%%}
{{ }}
{{}}
{{ x y }}
{{ x; }}
{% if yes and not n == 4 or nope %}a{% endif %}
{% if n is odd and n is divisibleby 3 %}a{% endif %}
{% if n in list and x not in words %}a{% endif %}
{% if nope %}a{% elif none_value %}b{% elif '' %}c{% elif [] %}d{% elif 0.0 %}e{% else %}f{% endif %}
{% if false %}{{ 1/0 }}{{ x|nofilter }}{{ x is notest }}{% endif %}ok
{% if false %}{% for i in list %}{{ x|nofilter }}{% endfor %}{% endif %}ok
{{ x|nofilter if false else 'ok' }}
{{ 'ok' if yes else x is notest }}
{{ x|nofilter }}
{{ x is notest }}
{% include 'x' %}
{% import 'x' as y %}
{% from 'x' import y %}
{% extends 'x' %}
{% include 'x' ignore missing %}
{% trans %}x{% endtrans %}
{% raw %}{{ x }}{% endraw %}{{ x }}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}
{% set j = joiner() %}{% for i in list %}{{ j() }}{{ i }}{% endfor %}
{% set j = joiner('|') %}{{ j() }}{{ j() }}{{ j.used }}
{% set l = [] %}{{ l.append(1) }}{{ l }}
{% set l = [] %}{% set _ = l.append(1) %}
{% set d = {} %}{{ d.update({'a': 1}) }}
{% set l = [1] %}{% set l = l + [2] %}{{ l }}
{% for m in messages %}{{ m.role }}:{{ m.content }}{{ m['content'] is none }}{% if m.tool_calls %}{{ m.tool_calls[0].arguments|tojson }}{% endif %};{% endfor %}
{% for m in messages[1:] %}{{ loop.index0 }}{{ m.role }}{% endfor %}{{ messages[-1]['role'] }}{{ messages|length }}
{%- for m in messages %}{%- if m.role == 'user' %}<|u|>{{ m.content | trim }}{%- elif m['role'] == 'system' -%} <|s|> {{- m.content -}} {%- else %}<|a|>{{ m.tool_calls | tojson(indent=2) }}{%- endif %}{%- endfor %}
{{ raise_exception('no ' ~ x) }}
{% if false %}{{ raise_exception('no') }}{% endif %}ok
{{ strftime_now('%d %B %Y') }}
{% set now = strftime_now %}{{ now('%H') }}
{% set f = 'abc'.upper %}{{ f() }}
{% set r = range %}{{ r(3)|list }}
{% set range = 5 %}{{ range }}
{{ dict }}
{% set t = (1, 2) %}{{ t[0] }}{{ t }}{{ t|length }}{{ t + (3,) }}
{{ messages|map(attribute='role')|join(',') }}{{ messages|selectattr('content')|list|length }}
{{ messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|first }}
{% for g in words|groupby(0) %}{{ g.grouper }}{{ g.list }}{{ g[0] }}{% endfor %}
{% for a, b in words|groupby(0) %}{{ a }}{{ b|length }}{% endfor %}
{% for row in list|batch(2, '-') %}{{ row|join(',') }};{% endfor %}
{% for col in list|slice(2) %}{{ col }};{% endfor %}
{% set it = list|map('string') %}{{ it|list }}{{ it|list }}
{% set it = list|select('odd') %}{% for i in it %}{{ i }}{% endfor %}{% for i in it %}{{ i }}{% else %}e{% endfor %}
{% for i in range(3) %}{{ i }}{% endfor %}{{ range(3)|length }}{{ range(3) }}
{% for i in range(3, 0, -1) %}{{ i }}{% endfor %}
{% for i in range(1000000) %}{% endfor %}
{% set x = 'a' %}{% set x = x * 3 %}{{ x }}
{%- set a -%}  b  {%- endset -%}{{ '[' ~ a ~ ']' }}
{% macro a() -%} x {%- endmacro %}[{{ a() }}]
{% set content = 'think</think>answer' %}{{ content.split('</think>')[-1].lstrip('\\n') }}{{ content.split('</think>')|first }}
{% set s = '\\n\\n x \\n' %}[{{ s.strip('\\n') }}][{{ s|trim }}][{{ s.rstrip() }}]
{{ [1, 2][nope] }}
{{ x[nope] }}
{{ dict[nope] }}
{{ dict[list] }}
{{ list['a'] }}{{ list.a }}{{ 'a'.b }}{{ none_value.b }}{{ n.b }}
{{ list.a.b }}
{{ nope.a }}
{{ nope['a'] }}
{{ nope is defined and nope.a }}
{{ (nope or {}).a }}{{ (nope|default({})).a|default('d') }}
{{ x if nope }}|{{ (x if nope) is defined }}
{{ ''.join(['a', 'b']) }}{{ ', '.join(words) }}
""".strip("\n").split("\n")


def main():
    environment = make_environment()
    cases = []
    seen = set()
    for source in itertools.chain(white_space(), SCOPES, (line.replace("\\n", "\n") for line in SCOPES)):
        if source in seen:
            continue
        seen.add(source)
        result = render(environment, source, VARIABLES)
        if result is not False:
            cases.append([source, result])
    write("statements.json.gz", {"variables": json.dumps(VARIABLES), "cases": cases})
    failed = sum(result is None for _, result in cases)
    print(f"{len(cases)} cases, {failed} of them errors")


main()
