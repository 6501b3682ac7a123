"""Records what Jinja2 makes of thousands of expressions: every filter, test, method and operator
with arguments of many types. Run it from anywhere; it writes ../fixtures/expressions.json.gz.
"""

import itertools
import json

from environment import make_environment, render, write

# Values as a client sends them, and the JSON text that stands for them in the test.
VARIABLES = {
    "text": "Hello, wörld",
    "lines": "one\n  two\n\nthree  \r\nfour",
    "html": "<a href=\"x\">it's & that</a>",
    "big": 9007199254740993,
    "huge": 123456789012345678901234567890,
    "price": 105.0,
    "tiny": 1.5e-7,
    "list": [3, 1, 2],
    "words": ["banana", "Apple", "cherry", "apple"],
    "mixed": [1, "a", None, True, 2.5],
    "users": [
        {"name": "Zoe", "age": 30, "tags": ["x", "y"], "on": True},
        {"name": "adam", "age": 25, "tags": [], "on": False},
        {"name": "Bob", "age": 30, "tags": ["z"], "on": True, "extra": None},
    ],
    "dict": {"b": 1, "a": [1, 2.0, None], "10": "ten", "2": {"x": False}},
    "empty": {},
    "items_key": {"items": 5, "keys": 6, "get": 7},
    "emoji": "a😀b👩‍👩‍👧c",
    "long": "The quick brown fox jumps over the lazy dog. " * 5,
}

SCALARS = """none true false 0 1 -3 7 255 big huge 0.0 1.5 -2.5 105.0 1e16 1e-5 1e300 '' 'a' 'Hello World'
'ÄÖß straße' emoji '  pad \\n' '12' '-3.7' '<b>&"' nope""".split()
# Texts with spaces need their own list, as the split above would cut them.
SCALARS = [
    "none", "true", "false", "0", "1", "-3", "7", "255", "big", "huge", "0.0", "1.5", "-2.5", "105.0",
    "1e16", "1e-5", "1e300", "''", "'a'", "'Hello World'", "'ÄÖß straße ǆ'", "emoji", "'  pad \\n'",
    "'12'", "'-3.7'", "'<b>&\"\\''", "nope",
]
CONTAINERS = [
    "[]", "[3, 1, 2]", "['b', 'A', 'c', 'a']", "mixed", "(1, 2)", "()", "('x',)", "{}", "dict",
    "{1: 'x', none: [1, 2], (1, 2): true}", "range(3)", "range(10, 0, -3)", "[[1, 2], [3]]", "users",
    "('<b>'|safe)", "dict.items()", "dict.keys()", "dict.values()", "words", "items_key",
]
VALUES = SCALARS + CONTAINERS

LAZY = {"map", "select", "reject", "selectattr", "rejectattr", "unique", "batch", "slice", "items", "reverse"}
FILTERS = """abs attr batch capitalize center count d default dictsort e escape filesizeformat first float
forceescape format groupby indent int items join last length list lower map max min pprint reject
rejectattr replace reverse round safe select selectattr slice sort string striptags sum title tojson trim
truncate unique upper urlencode urlize wordcount wordwrap xmlattr""".split()

FILTER_ARGUMENTS = {
    "attr": ["'name'", "'items'", "'upper'", "'real'", "'__class__'", "1", "nope"],
    "batch": ["2", "2, '-'", "2, fill_with=0", "0", "'x'", "3, none", "linecount=2"],
    "center": ["5", "20", "-1", "width=9", "'x'", "none"],
    "default": ["1", "'x', true", "default_value=2, boolean=true", "none", "boolean=true"],
    "dictsort": ["true", "by='value'", "false, 'key', true", "by='x'", "reverse=true"],
    "filesizeformat": ["true", "binary=true"],
    "float": ["1.5", "default='x'", "none"],
    "format": ["1", "1, 2", "a=1", "1, a=2", "'x'"],
    "groupby": ["'age'", "'name'", "attribute='on'", "'extra', default='?'", "'name', case_sensitive=true", "0"],
    "indent": ["2", "width='>>'", "4, true", "2, blank=true", "2, true, true", "0", "none", "-1"],
    "int": ["5", "base=16", "0, 2", "default=none", "0, 0", "0, 37", "'x'"],
    "join": ["', '", "'-', attribute='name'", "d=1", "none", "'<'|safe"],
    "list": ["1"],
    "map": [
        "'upper'", "attribute='name'", "attribute='tags.0'", "attribute='nope', default='?'", "'nope'", "",
        "'replace', 'a', 'b'", "attribute=0", "'default', 'z'", "attribute='name', other=1", "'int', base=16",
        "attribute='extra', default='?'", "'string'",
    ],
    "max": ["attribute='age'", "true", "case_sensitive=true", "attribute='name'"],
    "min": ["attribute='age'", "true", "case_sensitive=true", "attribute='name'"],
    "reject": ["'odd'", "'none'", "'in', [1]", "'nope'", "'string'", "'eq', 'a'"],
    "select": ["'odd'", "'defined'", "'gt', 1", "'nope'", "'string'", "'sameas', none", "'mapping'"],
    "rejectattr": ["'on'", "'age', 'eq', 30", "'extra', 'none'", "'nope'", "'extra', 'defined'", ""],
    "selectattr": ["'on'", "'age', 'gt', 26", "'tags'", "'name', 'in', ['Bob']", "'extra', 'undefined'", ""],
    "replace": ["'l', 'L'", "'l', 'L', 1", "'', '-'", "'', '-', 2", "1, 2", "old='a', new='b'", "'a'", "'a', none"],
    "reverse": ["1"],
    "round": ["1", "2, 'floor'", "1, 'ceil'", "method='floor'", "-1", "precision=0", "method='x'", "none", "'x'"],
    "slice": ["2", "3, '-'", "2, fill_with=none", "0", "-1", "'x'"],
    "sort": ["true", "attribute='age'", "attribute='age,name'", "case_sensitive=true", "false, true", "attribute='extra'", "reverse=1"],
    "sum": ["attribute='age'", "start=10", "'age', 1", "start='x'", "start=[]", "attribute='name'"],
    "tojson": ["indent=2", "indent=0", "sort_keys=true", "separators=(',', ':')", "ensure_ascii=true", "true", "indent='--'", "indent=none", "separators=('a',)", "2"],
    "trim": ["'a'", "' \\n'", "chars='<>'", "''", "none", "1"],
    "truncate": ["5", "5, true", "length=10, end='…'", "3, true, ''", "2", "10, leeway=0", "8, false, '..', 3", "leeway=-1", "none"],
    "unique": ["true", "attribute='age'", "case_sensitive=true"],
    "urlize": ["10", "nofollow=true", "target='_blank'", "rel='me you'", "extra_schemes=['tel:']", "extra_schemes=['a b']"],
    "wordwrap": ["10", "5, false", "width=12, wrapstring='|'", "7, break_on_hyphens=false", "0", "none"],
    "xmlattr": ["false", "autospace=true"],
}

TESTS = """boolean callable defined escaped even false filter float integer iterable lower mapping none
number odd sequence string test true undefined upper""".split()
TEST_ARGUMENTS = {
    "divisibleby": ["2", "0", "'x'", "1.5"],
    "sameas": ["none", "true", "1", "''"],
    "in": ["[1, 'a']", "'Hello World a'", "dict", "5", "nope", "range(5)", "(none, true)"],
    **{name: ["1", "'a'", "none", "2.5", "[3, 1, 2]", "nope", "true"] for name in
       "eq ne lt le gt ge equalto greaterthan lessthan".split()},
}

METHOD_ARGUMENTS = {
    "capitalize": [""], "casefold": [""], "center": ["7", "8, '*'", "", "3, 'ab'"],
    "count": ["'l'", "''", "'l', 4", "'l', 0, -3", "1", "none"], "endswith": ["'d'", "('x', 'd')", "''", "'o', 0, 5", "1"],
    "expandtabs": ["", "4", "tabsize=2"], "find": ["'o'", "'o', 5", "'o', -3, -1", "''", "'zz'", "1", "'', 99"],
    "format": ["1", "a=1", "*[1]"], "format_map": ["{'a': 1}", "1"], "index": ["'o'", "'zz'"],
    "isalnum": [""], "isalpha": [""], "isascii": [""], "isdecimal": [""], "isdigit": [""], "isidentifier": [""],
    "islower": [""], "isnumeric": [""], "isprintable": [""], "isspace": [""], "istitle": [""], "isupper": [""],
    "join": ["['a', 'b']", "'abc'", "[1]", "{'x': 1}", "[]", "('a',)", "nope", ""], "ljust": ["7", "8, '*'"],
    "lower": ["", "1"], "lstrip": ["", "' H'", "none", "1"], "partition": ["' '", "''", "'zz'", "1"],
    "removeprefix": ["'He'", "''", "1"], "removesuffix": ["'ld'", "''"],
    "replace": ["'l', 'L'", "'l', 'L', 1", "'', '-'", "'l'", "'l', 1", "'l', 'L', count=1"],
    "rfind": ["'o'", "'o', 0, 5"], "rindex": ["'o'", "'zz'"], "rjust": ["7", "8, '0'"], "rpartition": ["' '", "'zz'"],
    "rsplit": ["", "' '", "none, 1", "'o', 1", "maxsplit=1", "' ', maxsplit=1"], "rstrip": ["", "'d'", "'\\n'"],
    "split": ["", "' '", "none, 1", "'o', 1", "maxsplit=1", "sep='l'", "''", "1", "'l', -1", "'l', 0"],
    "splitlines": ["", "true", "keepends=true"], "startswith": ["'He'", "('x', 'He')", "'l', 2", "''", "[1]"],
    "strip": ["", "'\\n'", "' d'", "'Hd'", "''", "none", "1"], "swapcase": [""], "title": [""], "upper": [""],
    "zfill": ["8", "15", "'x'"], "translate": ["{72: 'J', 101: none, 108: 76}"],
    "nope": [""], "encode": [], "get": ["1"],
}
TEXTS = ["'Hello World'", "'hello\\tworld l'", "''", "'ÄÖß straße ǆ'", "emoji", "lines", "'-42'", "'  x y  '", "('<b>Hello</b>'|safe)"]

OBJECT_METHODS = [
    "dict.get('a')", "dict.get('zz')", "dict.get('zz', 1)", "dict.get([])", "dict.get()", "dict.get('a', default=1)",
    "dict.keys()|list", "dict.values()|list", "dict.items()|list", "dict.copy()", "dict.pop('a')", "dict.update({})",
    "dict.setdefault('q', 1)", "dict.clear()", "dict.popitem()", "dict.nope", "dict.nope.nope", "dict['nope']", "dict[1]",
    "dict['10']", "dict.10", "dict.2.x", "dict['2']['x']", "dict.b", "dict['b']", "dict.items", "items_key.items()|list",
    "items_key['items']", "items_key.get", "items_key['get']", "items_key.get('get')", "dict.fromkeys('ab', 1)",
    "list.append(1)", "list.pop()", "list.sort()", "list.index(1)", "list.index(9)", "list.count(3)", "list.copy()",
    "list.insert(0, 1)", "list.extend([1])", "list.remove(1)", "list.reverse()", "list.clear()", "list.0", "list[0]",
    "list[-1]", "list[5]", "list[-9]", "list['0']", "list[1.0]", "list[true]", "list[none]", "list.length", "list['count'](3)",
    "(1, 2, 1).count(1)", "(1, 2, 1).index(2)", "(1, 2).0", "(1, 2)[5]", "(1, 2).append", "text[0]", "text[-1]", "text[99]",
    "text['upper']()", "emoji[1]", "emoji[-1]", "emoji[1:3]", "emoji|length", "emoji[::-1]", "big.bit_length()", "(5).real",
    "5 .real", "(5).denominator", "true.real", "(1.5).is_integer()", "(2.0).is_integer()", "(1.5).as_integer_ratio()",
    "(0.1).as_integer_ratio()", "(1.5).hex()", "(0.1).hex()", "(255).bit_count()", "(5).as_integer_ratio()", "nope.x",
    "nope[0]", "nope()", "nope['x']", "nope[1:2]", "none.x", "none[0]", "none[1:]", "none()", "(1)(2)", "'a'()", "text.__class__",
    "text.__class__.__mro__", "text._x", "text['__class__']", "dict.__class__", "list.__len__", "[].__foo__", "''.__len__()",
    "users[0].name", "users[0]['name']", "users[0].nope", "users[9].name", "users.0.name", "users[-1].extra", "users[0].tags[1]",
    "range(5)[1]", "range(5)[-1]", "range(5)[9]", "range(5)[1:3]", "range(0, 10, 3)|list", "range(3, 0)|list", "range(100001)",
    "range(0)", "range()", "range(1, 2, 0)", "range('a')", "range(1.0)", "range(5).start", "range(5).count(2)", "range(true)",
    "3 in range(5)", "3.0 in range(5)", "'3' in range(5)", "range(3) == range(0, 3)", "range(10, 5, -1)|list",
    "'a' in dict", "1 in dict", "[] in dict", "'items' in dict", "1 in 5", "1 in 'a'", "'' in ''", "none in [none]", "nope in [nope]",
    "nope in []", "'x' in nope", "nope == nope", "nope != nope", "nope == none", "nope is defined", "not nope", "nope ~ 'x'",
    "nope + 1", "1 + nope", "nope - 1", "nope * 2", "-nope", "+nope", "nope < 1", "1 < nope", "nope == 1", "[nope]", "{'a': nope}",
    "nope and 1", "nope or 1", "nope if nope", "'x' if nope", "1 if true", "1 if false else 2", "(1 if false) is undefined",
    "1 if 0 else 2 if 0 else 3", "1 == 1.0 == true", "1 < 2 < 3", "1 < 3 < 2", "1 < 2 > 0 != 5", "3 > 2 in [2]", "not 1 == 2",
    "not not 1", "1 and 0 or 2", "'' or none or 'x'", "1 or 1/0", "0 and 1/0", "1 is odd and 2 is even", "1 is not even",
    "not 1 is even", "1 is divisibleby 1", "4 is divisibleby(2)", "x is defined", "dict is mapping", "2 is in [1, 2]",
    "2 is eq 2", "2 is == 2", "'a' is in 'abc'", "2 is sameas 2", "2 is not none and true", "[1, 2] == [1, 2.0]", "(1,) == [1]",
    "{'a': 1} == {'a': 1.0}", "{'a': 1, 'b': 2} == {'b': 2, 'a': 1}", "[1, 2] < [1, 3]", "[1] < [1, 0]", "(1, 'a') < (1, 'b')",
    "[1, 'a'] < [1, 2]", "{} < {}", "'a' < 'B'", "'Z' < 'a'", "'é' < 'z'", "'😀' < '￿'", "none < none", "true < 2", "1 < 'a'",
    "dict.keys() == {'b': 0, 'a': 0, '10': 0, '2': 0}.keys()", "2 ** 10", "2 ** -1", "2 ** 0.5", "2 ** 0.1", "10.0 ** 15", "10.0 ** -5", "1.1 ** 100", "3.0 ** 40", "0.5 ** 1074", "0.5 ** 1080", "1.5 ** 1e3", "-2.0 ** 3", "(-2.0) ** -3", "1e-300 ** 2", "2.5 ** 2.5", "1.0000001 ** 1e6", "0.0 ** 2", "9 ** 0.5", "2 ** -1074", "10 ** -3", "7 ** -2", "0 ** 0", "0 ** -1", "-2 ** 2",
    "2 ** 3 ** 2", "(-8) ** 2", "2 ** 64", "2 ** 100 % 97", "10 ** 20", "10 ** 4299 > 1", "10 ** 5000", "(10 ** 5000) > 1", "1e308 * 10",
    "1e308 ** 2", "0.1 + 0.2", "1 / 3", "2 / 1", "7 // 2", "-7 // 2", "7 // -2", "7 % 3", "-7 % 3", "7 % -3", "7.5 // 2", "-7.5 // 2",
    "7.5 % 2", "-7.5 % 2", "7.5 % -2", "1 // 0", "1 % 0", "1 / 0", "1.0 / 0", "1.0 // 0", "1.0 % 0", "0.0 // 1", "-0.0", "0.0 * -1",
    "-0.0 // 1", "5 % 5.0", "-5 % 5.0", "1e300 * 1e10 // 1", "big + 1", "big * big", "big / 3", "huge / 7", "huge // 7", "huge % 7",
    "huge / huge", "huge * 1.0", "-huge // 7", "big == 9007199254740993.0", "big == 9007199254740992.0", "9007199254740992 == 9007199254740992.0",
    "big > 9007199254740992.0", "huge|float", "huge / 0.5", "10 ** 400 / 10 ** 399", "10 ** 400 / 3", "10 ** 400 * 1.0", "true + true",
    "true * 3", "-true", "+true", "not true", "true / 2", "true == 1", "true ~ 1", "'a' * 3", "3 * 'a'", "'a' * -1", "[1] * 2", "2 * [1]",
    "(1,) * 2", "'a' * 1.5", "[1] + [2]", "[1] + (2,)", "(1,) + (2,)", "'a' + 'b'", "'a' + 1", "1 + 'a'", "{} + {}", "none + none",
    "[] - []", "'a' - 'b'", "1 ~ 2", "none ~ true", "1.0 ~ [1]", "'a' ~ ('<'|safe)", "'a' % 1", "'%d' % true", "5 % 'a'", "-'a'", "+[]",
    "[1, 2, 3][1:]", "[1, 2, 3][:-1]", "[1, 2, 3][::-1]", "[1, 2, 3][::2]", "[1, 2, 3][5:]", "[1, 2, 3][-5:2]", "[1, 2, 3][2:0:-1]",
    "[1, 2, 3][::0]", "[1, 2, 3]['a':]", "[1, 2, 3][none:2]", "[1, 2, 3][true:]", "[1, 2, 3][1.0:]", "(1, 2, 3)[:2]", "'hello'[1:3]",
    "'hello'[::-1]", "'hello'[-3:]", "'hello'[:99]", "dict[1:2]", "5[1:]", "range(10)[2:8:2]|list", "('<b>x'|safe)[1:3]", "[1, 2][nope:]",
    "[1,]", "(1,)", "()", "{}", "{'a': 1,}", "{1: 2, 1.0: 3, true: 4}", "{[]: 1}", "{(1, []): 1}", "{none: 1}[none]", "{(1, 2): 3}[(1, 2)]",
    "{(1, 2): 3}[1, 2]", "{'a': {'b': [1, {'c': 2}]}}.a.b[1].c", "1, 2", "[[1, 2], (3,), {'a': []}]", "'it\\'s'", "'\"'", "'\\'\"'",
    "'\\n\\t\\\\'", "'\\x41\\u00e9\\U0001F600'", "'\\d'", "'\\é'", "'\\101'", "'\\0'", "'a' 'b' \"c\"", "'\\x4'", "'\\N{DASH}'", "'\\u12'",
    "'\\ud800'", "'\x7f\x80\xa0\xad\u200b\u2028'", "'\\a\\b\\f\\v'", "0x1F", "0b101", "0o17", "1_000", "1_0.5_0", "1e3", "1E-3", "1.e3", "1.", ".5",
    "0777", "00", "1__0", "0x", "123abc", "1e", "1.5.real", "1 2", "a b", "'a", "a'", "{{", "[1", "(1", "{'a'", "}", "1 +", "* 2", "1 = 2", "a.",
    "a.1", "a.1.2", "a['x'", "a[]", "a[1,]", "f(1,,2)", "f(a=1, 2)", "f(a=1, a=2)", "f(*[1], 2)", "f(**{}, a=1)", "x|", "x|1", "x|upper|",
    "x is", "x is 1", "x is not", "1 is odd is even", "x if", "1 else 2", "not", "in x", "x in", "x not in", "true()", "none.x", "lambda: 1",
    "[x for x in y]", "a if b else c if d", "a := 1", "1 <> 2", "a && b", "a || b", "!a", "a?b:c", "a@b", "a$", "a`b`", "~a", "a;b", "{1, 2}",
    "{'a' 1}", "{'a': }", "1 if 2 if 3 else 4", "(1 if 0) or 5", "'x'.upper()|lower ~ 'Y'", "'a,b'.split(',')[1]", "'a'|upper is upper",
    "-1|abs", "(-1)|abs", "2 ** 2|string", "1 + 2|string", "'%s' % 1 ~ 2", "'a' ~ 'b' * 2", "1 - 1 - 1", "2 * 3 % 4", "not true == false",
    "1 + 1 ~ 1 + 1", "dict(a=1, b=2)", "dict([('a', 1)])", "dict({'a': 1}, b=2)", "dict([1])", "dict(1)", "dict('ab')", "dict()", "dict(['ab', 'cd'])",
    "dict({}, {})", "dict.fromkeys(['a'])", "namespace(a=1).a", "namespace(a=1)['a']", "namespace(a=1).b", "namespace({'x': 2}).x", "namespace()",
    "namespace(a=[1])", "namespace(1)", "cycler('a', 'b').next()", "cycler()", "cycler(1).current", "joiner()()", "joiner('|').sep", "joiner(1, 2)",
    "raise_exception('x')", "raise_exception()", "strftime_now('%Y-%m-%d %H:%M:%S')", "strftime_now('%d %b %Y, %A %a %B %j %p %I %y %%')", "strftime_now(1)",
    "strftime_now('%-d %-m %e %U %W %w %u %V %G %C %D %F %T %R %r %x %X %c %h %n %t %k %l %P %s %f %Z|%z|%q')", "strftime_now('')", "strftime_now('%_d|%05d|%^a|%-I|%03m|%Ey|%10Y')", "[5]|random", "[]|random is undefined", "'x'|random", "{}|random", "5|random",
    "self", "super", "loop", "caller", "varargs", "range is callable", "dict is callable", "nope is callable", "'x'.upper is callable", "5 is callable",
    "text is string", "('a'|safe) is string", "('a'|escape) is escaped", "'<'|e|e", "'<'|forceescape|forceescape", "('<'|safe) ~ '<'", "('<'|safe) + '<'",
    "'<' + ('<'|safe)", "('<'|safe) * 2", "('<%s>'|safe) % '<'", "('{}'|safe).format('<')", "('<'|safe).join(['<', '>'])", "('a<b'|safe).split('<')",
    "('a'|safe).replace('a', '<')", "('a'|safe)|replace('a', '<')", "('<'|safe)|upper|string", "('<b>x</b> &amp; &lt; &#65; &eacute;')|striptags", "'<!-- x --> a  <b>c'|striptags",
    "(1).__class__", "1|attr('real')", "dict|attr('b')", "text|attr('upper')|string is string", "[1, 2, 3]|sum / 2", "[]|first is undefined", "[]|last is undefined",
    "[]|max is undefined", "''|first is undefined", "[1, nope]|join('-')", "[none, true]|join", "dict|join(',')", "[[1, 2], [3]]|sum(start=[])", "['a']|sum(start='')",
    "[1, 2, 3]|random is number", "users|map(attribute='name')|map('lower')|sort|join(', ')", "users|groupby('age')|map('first')|list", "users|groupby('age')|map(attribute='list')|map('length')|list",
    "(users|groupby('age'))[0].grouper", "(users|groupby('age'))[0].list|length", "(users|groupby('age'))[0]", "users|sort(attribute='age,name')|map(attribute='name')|list",
    "dict|dictsort|map('first')|list", "dict|items|list", "nope|items|list", "list|items|list", "dict|tojson", "dict|tojson|tojson", "{1: 2, none: 3, true: 4, 1.5: 5}|tojson",
    "{(1, 2): 3}|tojson", "{'b': 1, 'a': 2}|tojson(sort_keys=true)", "{'b': 1, 1: 2}|tojson(sort_keys=true)", "'</script>&\\''|tojson", "'é\\u2028\\x00\\x1f\\x7f'|tojson", "'é😀'|tojson(ensure_ascii=true)", "nope|tojson", "[nope]|tojson",
    "range(3)|tojson", "(1, 2)|tojson", "price|tojson", "big|tojson", "huge|tojson", "tiny|tojson", "1e16|tojson", "1e22|tojson", "0.1|tojson", "(1e308*10)|tojson", "[[], {}]|tojson(indent=2)", "{'a': [], 'b': {}, 'c': [1, {'d': 2}]}|tojson(indent=1)",
    "dict.items()|tojson", "('<'|safe)|tojson", "dict|pprint", "users|pprint", "long|pprint", "[long, long]|pprint", "{'k': long, 'n': [1, 2]}|pprint", "range(40)|list|pprint", "('x',)|pprint", "{'b': 1, 'a': 2}|pprint", "{1: 1, 'a': 2}|pprint",
    "{'x' * 30: {'y' * 30: ['z' * 30, 'w' * 30]}}|pprint", "long|wordwrap(30)", "long|truncate(40)", "long|wordcount", "long|title", "'a-b c_d (e [f {g <h'|title", "\"it's\"|title", "'foo-bar-baz-qux super-long-hyphenated-word'|wordwrap(12)",
    "'aaaaaaaaaaaaaaaaaaaaaa bb'|wordwrap(5)", "'a--b c---d'|wordwrap(3)", "'x\\n\\ny z'|wordwrap(2)", "'www.example.com http://a.b/c?d=e. (https://x.org) foo@bar.com mailto:a@b.de ftp://x <http://y.net>'|urlize", "'see http://example.com/aaaaaaaaaaaaaaaaaaaaaaaa now'|urlize(20)",
    "'tel:123 a'|urlize(extra_schemes=['tel:'])", "'ü/ä ?&=+'|urlencode", "{'a': 'b c', 'd': 1}|urlencode", "[('a', 1), ('b', 'ü')]|urlencode", "[1]|urlencode", "5|urlencode", "{'class': 'a b', 'id': none, 'x': nope, 'n': 1, 'h': '<'}|xmlattr", "{'a b': 1}|xmlattr", "{}|xmlattr",
    "1000|filesizeformat", "1|filesizeformat", "0|filesizeformat", "999|filesizeformat", "1500000|filesizeformat", "1500000|filesizeformat(true)", "1e30|filesizeformat", "'1000'|filesizeformat", "-5|filesizeformat", "42.55|round(1)", "42.55|round(1, 'floor')", "42.55|round(1, 'ceil')",
    "2.5|round", "3.5|round", "-2.5|round", "42|round", "42|round(-1)", "45|round(-1)", "55|round(-1)", "1e300|round(2)", "0.5|round|int", "2.675|round(2)", "1234567.891|round(-3)", "'x'|round", "1.0|round(400)", "5|round(2, 'floor')", "nope|round", "nope|int", "nope|float", "nope|abs", "nope|upper",
    "'0x1f'|int(base=16)", "'0x1f'|int(0, 0)", "'1f'|int(base=16)", "'1_000'|int", "' 42 '|int", "'4.7'|int", "'1e3'|int", "'abc'|int", "'abc'|int(-1)", "none|int", "none|int('x')", "[]|int", "1e400|int", "'inf'|int", "'nan'|float", "'inf'|float", "'1e5'|float", "' 1.5 '|float", "'1_0.5'|float", "''|float", "'x'|float('y')",
    "true|int", "true|float", "3.99|int", "-3.99|int", "huge|string|length", "huge|abs", "-huge|abs", "105.0|int", "105.0|string", "price ~ ''", "tiny ~ ''", "1e15 ~ ''", "1e16 ~ ''", "123456789.123456789 ~ ''", "0.0001 ~ ''", "0.00001 ~ ''", "1e-7 ~ ''", "5e-324 ~ ''", "1.7976931348623157e308 ~ ''", "1e22 ~ ''", "1e21 ~ ''", "100000.0 ~ ''",
    "3.0e10 ~ ''", "-1e-10 ~ ''", "(1e308*10) ~ ''", "-(1e308*10) ~ ''", "(1e308*10 - 1e308*10) ~ ''", "words|sort", "words|sort(case_sensitive=true)", "words|unique|list", "words|min", "words|max", "mixed|sort", "mixed|min", "[none, none]|sort", "[true, 0, 2]|sort", "[[2, 1], [1, 2]]|sort", "[nope, nope]|sort", "['b', 'a']|sort(reverse=true)",
    "[1, 2, 3, 4, 5]|batch(2)|list", "[1, 2, 3, 4, 5]|batch(2, 'x')|list", "[1, 2, 3, 4, 5]|slice(3)|list", "[1, 2, 3, 4, 5]|slice(3, 'x')|list", "range(10)|batch(3)|map('sum')|list", "[1, 2]|map('string')|join", "[[1, 2], [3, 4]]|map('first')|list", "[1, [2]]|map('length')|list", "''|map('x')|list", "[]|map|list", "[1]|map|list", "[3, 1]|map(nope)|list",
    "[0, 1, '', 'a', none, []]|select|list", "[0, 1, '', 'a', none, []]|reject|list", "users|selectattr('on')|map(attribute='name')|list", "users|rejectattr('on')|map(attribute='name')|list", "users|selectattr('tags.0', 'defined')|list|length", "users|map(attribute='tags')|sum(start=[])", "users|map('attr', 'name')|list", "[1, 2]|select('gt')|list",
    "(([1, 2]|map('string'))|list)|length", "[1, 2]|map('string')|length", "([1,2]|map('string'))[0]", "([1, 2]|reverse)|list", "('ab'|reverse)", "(dict|reverse)|list", "5|reverse", "none|list", "5|list", "'abc'|list", "dict|list", "none|length", "5|length", "nope|length", "nope|list", "none|first", "5|first", "{'a': 1}|first", "{'a': 1, 'b': 2}|last", "range(3)|last",
    "none|join", "5|join", "none|upper", "5|upper", "none|trim", "[' a ']|trim", "none|default('x')", "none|default('x', true)", "0|default('x', true)", "nope.x|default('y')", "nope|default", "nope|d(1)", "none|string", "true|string|upper", "none|e", "5|e", "[1, '<']|e", "'a\\nb'|indent", "'a\\n\\nb'|indent(2)", "'a\\n\\nb'|indent(2, true, true)", "'a\\n'|indent", "''|indent", "5|indent", "none|indent", "nope|indent",
]

FORMATS = [
    "{}", "{0}", "{1}", "{0}{0}", "{}{}", "{}{0}", "{a}", "{0.name}", "{0[name]}", "{0[0]}", "{!r}", "{!s}", "{!a}", "{!x}", "{:}", "{:5}", "{:<5}|", "{:>5}|", "{:^5}|", "{:*^9}", "{:05}", "{:+}", "{: }", "{:-}",
    "{:d}", "{:x}", "{:X}", "{:o}", "{:b}", "{:#x}", "{:#b}", "{:#o}", "{:c}", "{:n}", "{:,}", "{:_}", "{:_x}", "{:,x}", "{:08.3f}", "{:.2f}", "{:.0f}", "{:#.0f}", "{:e}", "{:.3e}", "{:E}", "{:g}", "{:.3g}", "{:G}", "{:#g}", "{:%}", "{:.1%}",
    "{:.3}", "{:.1}", "{:10.4}|", "{:=+8}", "{:=8}", "{:s}", "{:10s}|", "{:.2s}", "{:>10s}|", "{:q}", "{:5.}", "{:{}}", "{:{w}}", "{{}}", "{", "}", "{}}", "{0:{1}}", "{:z.1f}", "{:,.2f}", "{:015,.2f}", "{:<015,}|", "{:+,d}", "{.real}", "{[a]}", "{:é>5}", "{!r:>10}|", "{:00005}", "{:1000000000000}", "{:.1000000000000f}", "{ }", "{0.}", "{0[}", "{0!}", "{:020_d}", "{:020,d}", "{0.__class__}", "{:5c}|", "{:.17g}", "{:.20f}", "{:r}",
]
FORMAT_VALUES = ["0", "1", "-42", "255", "big", "huge", "true", "3.14159", "-0.5", "0.0", "-0.0", "1e10", "1.5e-7", "123456.789", "1e100", "2.5", "'abc'", "'é😀'", "none", "[1]", "dict", "nope", "('<b>'|safe)", "dict.nope|default('inf')|float"]

PERCENTS = ["%s", "%r", "%a", "%d", "%i", "%u", "%x", "%X", "%o", "%e", "%E", "%f", "%F", "%g", "%G", "%c", "%%", "%5s|", "%-5s|", "%05d", "%+d", "% d", "%.2f", "%8.3f|", "%-8.1f|", "%.3s", "%#x", "%#o", "%.0f", "%#.0f", "%.3d", "%05.1f", "%+.1e", "%*d", "%.*f", "%(a)s", "%(a)d %(b)s", "%q", "%", "%5", "%s %s", "x", "%ld", "%.10g", "%.f", "%(a", "%010s", "%-05d|", "%+s", "%x%%", "%b"]
PERCENT_VALUES = ["1", "-42", "3.7", "-0.5", "1e100", "big", "true", "'abc'", "'é'", "none", "[1, 2]", "(1,)", "(1, 2)", "(3, 2.5)", "()", "{'a': 1, 'b': 'x'}", "nope", "'A'", "65", "huge", "('<'|safe)"]


def expressions():
    yield from OBJECT_METHODS
    for value in VALUES:
        yield value
        for name in FILTERS:
            yield f"{value}|{name}" + ("|list" if name in LAZY else "")
        for name in TESTS:
            yield f"{value} is {name}"
    for name, arguments in FILTER_ARGUMENTS.items():
        sample = SCALARS[::3] + CONTAINERS + ["text", "lines", "html", "long"]
        for value, given in itertools.product(sample, arguments):
            yield f"{value}|{name}({given})" + ("|list" if name in LAZY else "")
    for name, arguments in TEST_ARGUMENTS.items():
        for value, given in itertools.product(VALUES[::2] + ["nope"], arguments):
            yield f"{value} is {name}({given})"
    for value, (name, arguments) in itertools.product(TEXTS, METHOD_ARGUMENTS.items()):
        for given in arguments:
            yield f"{value}.{name}({given})"
    operands = ["none", "true", "0", "7", "-3", "big", "huge", "1.5", "-0.0", "1e300", "''", "'a%s'", "'é'", "[1]", "(1, 2)", "{'a': 1}", "nope", "range(2)", "('<'|safe)"]
    for operator in ["+", "-", "*", "/", "//", "%", "**", "~"]:
        for left, right in itertools.product(operands, operands):
            if operator in ("**", "*") and "huge" in (left, right) and right in ("huge", "big"):
                continue
            if operator == "**" and right == "big" or operator == "*" and "big" in (left, right):
                continue
            yield f"{left} {operator} {right}"
    for operator in ["==", "!=", "<", "<=", ">", ">=", "in", "not in"]:
        for left, right in itertools.product(operands, operands):
            yield f"{left} {operator} {right}"
    for form, value in itertools.product(FORMATS, FORMAT_VALUES):
        quoted = json.dumps(form, ensure_ascii=False)
        yield f"{quoted}.format({value})"
    for form in ["{a} {b}", "{a.name}", "{a[0]} {}", "{0} {a}", "{:{w}.{p}f}", "{a!r:>{w}}"]:
        yield f"'{form}'.format(3.14159, a='x', b=[1], w=9, p=2)"
        yield f"'{form}'.format(a=users[0], b=list)"
    for form, value in itertools.product(PERCENTS, PERCENT_VALUES):
        yield f"'{form}' % {value}"
        if value.startswith("("):
            yield f"'{form}'|format(*{value})"


def main():
    environment = make_environment()
    seen = set()
    cases = []
    for expression in expressions():
        for source in (f"{{{{ [{expression}] }}}}", f"{{{{ {expression} }}}}"):
            if source in seen:
                continue
            seen.add(source)
            # The plain form adds nothing where the list's shows the same value.
            if source.startswith("{{ [") is False and expression not in OBJECT_METHODS:
                continue
            result = render(environment, source, VARIABLES)
            # Templates have no complex numbers.
            if result is not False and not (result or '').endswith('j)]'):
                cases.append([source, result])
    write("expressions.json.gz", {"variables": json.dumps(VARIABLES), "cases": cases})
    failed = sum(result is None for _, result in cases)
    print(f"{len(cases)} cases, {failed} of them errors")


main()
