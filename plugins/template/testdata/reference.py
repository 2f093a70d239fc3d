"""Jinja2 set up as transformers sets it up for chat templates: what the guest is compared with.

As a program it renders the requests of standard input, a JSON object a line: template, bos, eos and input, the
variables. Answers a line each: {"prompt": ...}, or {"error": ...} where Jinja2 refuses.
"""

import datetime
import functools
import json
import sys

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

NOW = 1721865600  # 25 July 2024, 00:00 UTC


class Generation(jinja2.ext.Extension):
    """{% generation %}: the body, rendered as the body of a call block."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


@functools.lru_cache
def compiled(text):
    return environment().from_string(text)


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def strftime_now(format):
        return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None).strftime(format)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env


def render(text, variables, bos="<s>", eos="</s>"):
    """Gives (prompt, None) or (None, error)."""
    names = {"bos_token": bos, "eos_token": eos}
    try:
        return compiled(text).render(**{**names, **variables}), None
    except Exception as err:  # a template may fail in any way that Python knows
        return None, f"{type(err).__name__}: {err}"


def main():
    for line in sys.stdin:
        request = json.loads(line)
        prompt, err = render(request["template"], request["input"], request["bos"], request["eos"])
        print(json.dumps({"error": err} if err else {"prompt": prompt}), flush=True)


if __name__ == "__main__":
    main()
