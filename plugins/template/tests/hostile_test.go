package tests

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"forge/host/plugin"
)

// harm are templates that mean it. "" for the input is {}.
func harm() map[string]request {
	r := strings.Repeat
	grown := func(start, step, end string) string {
		return "{% set n = namespace(x=" + start + ") %}{% for i in range(99999) %}{% set n.x = " + step + " %}{% endfor %}" + end
	}
	texts := map[string]string{
		"endless loops":            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
		"a loop that writes":       "{% for i in range(99999) %}{{ 'x' * 9999 }}{% endfor %}",
		"endless recursion":        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
		"recursion by argument":    "{% macro m(f) %}{{ f(f) }}{% endmacro %}{{ m(m) }}",
		"recursion by caller":      "{% macro c() %}{{ caller() }}{% endmacro %}{% macro m() %}{% call c() %}{{ m() }}{% endcall %}{% endmacro %}{{ m() }}",
		"two that recurse":         "{% macro a(x) %}{{ b(x) }}{{ b(x) }}{% endmacro %}{% macro b(x) %}{{ a(x) }}{{ a(x) }}{% endmacro %}{{ a(1) }}",
		"a tree of calls":          "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(30) }}",
		"a loop that recurses":     "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
		"a long text":              "{{ 'a' * 9999999999 }}",
		"a long list":              "{{ [0] * 9999999999 }}",
		"a long range":             "{{ range(999999999)|list }}",
		"long ranges":              "{% for i in range(9999) %}{% set x = range(99999)|list %}{% endfor %}",
		"a text that doubles":      grown("'a'", "n.x + n.x", ""),
		"a text that doubles ~":    grown("'a'", "n.x ~ n.x", ""),
		"a list that doubles":      grown("[1]", "n.x + n.x", ""),
		"replacements":             grown("'a'", "n.x.replace('a', 'aaaaaaaaaa')", ""),
		"joins":                    grown("'ab'", "n.x.join(n.x|list)", ""),
		"shared lists, written":    "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
		"shared lists, as JSON":    "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x|tojson }}",
		"shared lists, compared":   "{% set n = namespace(x=[1], y=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x == n.y }}",
		"shared lists, sorted":     "{% set n = namespace(x=[1], y=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}{% endfor %}{{ [n.x, n.y]|sort }}",
		"shared lists, looked for": "{% set n = namespace(x=[1], y=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.y in [n.x] }}{{ n.y in [n.x, n.y] }}",
		"shared lists, distinct":   "{% set n = namespace(x=[1], y=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}{% endfor %}{{ [n.x, n.y]|unique|list }}",
		"shared lists as keys":     "{% set n = namespace(x=(1,), y=(1,)) %}{% for i in range(99) %}{% set n.x = (n.x, n.x) %}{% set n.y = (n.y, n.y) %}{% endfor %}{{ {n.x: 1}[n.y] }}",
		"a namespace in itself":    "{% set n = namespace() %}{% set n.n = n %}{% set n.m = [n] %}{{ n }}{{ n.m }}{{ [n] == n.m }}{{ n.m|tojson }}",
		"widths":                   "{{ 'x'.ljust(9999999999) }}{{ 'x'|center(9999999999) }}",
		"a width of %":             "{{ '%9999999999d' % 1 }}",
		"a width of a format":      "{{ '{:9999999999}'.format(1) }}",
		"a width passed":           "{{ '{:{w}}'.format(1, w=999999999) }}",
		"many fields":              "{{ ('%s' * 99999) % 1 }}{{ ('{0:999}' * 99999).format(1) }}",
		"indents":                  "{{ ('a\n' * 99999)|indent(60000)|length }}",
		"JSON indents":             "{{ ([[[]] * 999] * 999)|tojson(indent=64) }}",
		"a power":                  "{{ 2 ** 9999999999 }}{{ 9 ** 9 ** 9 }}",
		"a large number":           grown("2", "n.x * n.x", "{{ n.x }}"),
		"splits":                   "{% set x = 'a,' * 99999 %}{% for i in range(9999) %}{% set y = x.split(',') %}{% endfor %}",
		"slices":                   "{% set x = 'aé' * 99999 %}{% for i in range(9999) %}{% set y = x[::-1] %}{% endfor %}",
		"letters":                  "{% set x = 'a' * 99999 %}{% for i in range(9999) %}{% for c in x %}{% break %}{% endfor %}{% endfor %}",
		"searches":                 "{% set x = 'a' * 99999 %}{% for i in range(9999) %}{{ x.find('a' * 9999 + 'b') }}{% endfor %}",
		"counts":                   "{% set x = 'a' * 99999 %}{% for i in range(9999) %}{{ x.count('a') }}{{ 'aab' in x }}{% endfor %}",
		"letter by letter":         "{% set x = 'aB' * 99999 %}{% for i in range(9999) %}{% set y = x.title() %}{% set y = x|upper %}{% set y = x.swapcase() %}{% set y = x|wordcount %}{% endfor %}",
		"white space":              "{% set x = ' ' * 99999 %}{% for i in range(9999) %}{% set y = x.strip() %}{% set y = x|trim %}{% set y = x.split() %}{% endfor %}",
		"times":                    "{% for i in range(9999) %}{{ strftime_now('%c' * 9999) }}{% endfor %}",
		"groups":                   "{% set x = range(99999)|list %}{% for i in range(9999) %}{% set y = x|batch(2)|list %}{% set y = x|unique|list %}{% set y = x|sort %}{% endfor %}",
		"sums":                     "{% set x = range(99999)|list %}{% for i in range(9999) %}{{ x|sum }}{{ x|max }}{{ x == x }}{{ 5 in x }}{{ x|length }}{{ x[::2]|first }}{% endfor %}",
		"pairs":                    "{% set n = namespace(x={}) %}{% for i in range(99999) %}{% set n.x = dict(n.x, **{'a' ~ i: i}) %}{% endfor %}",
		"a deep value":             "{% set n = namespace(x=[]) %}{% for i in range(99999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}",
		"a deep value, unused":     "{% set n = namespace(x=[]) %}{% for i in range(99999) %}{% set n.x = [n.x] %}{% endfor %}",
		"a long template":          r("{{ x }}", 100_000),
		"long plain text":          r("text ", 800_000),
		"half a tag":               r("{{", 100_000),
		"half a text":              "{{ '" + r("a", 1_000_000),
		"a line without end":       "{%" + r(" ", 1_000_000),
		"comments":                 r("{#", 100_000),
		"numbers":                  "{{ " + r("9", 1_000_000) + " }}",
		"a long name":              "{{ " + r("a", 1_000_000) + " }}",
		"half a character":         "{{ '\xc3\x28' }}",
		"no character at all":      string([]byte{0xff, 0xfe, 0, 0}),
		"a zero byte":              "a\x00{{ '\x00' ~ undefined.x }}",
		"escapes":                  "{{ '\\ud800' ~ '\\U00110000' ~ '\\x' ~ '\\u12' }}",
	}
	all := map[string]request{}
	for name, text := range texts {
		all[name] = request{Template: text}
	}
	for name, nest := range nests {
		for _, n := range []int{40, 70, 150, 260, 500, 1000, 20_000} {
			all[fmt.Sprintf("%d of %s", n, name)] = request{Template: nest(n)}
		}
	}
	for name, input := range map[string]string{
		"no JSON":              "x",
		"half of it":           `{"messages": [`,
		"a list":               "[1]",
		"deep lists":           `{"a": ` + r("[", 100_000) + r("]", 100_000) + "}",
		"deep objects":         r(`{"a":`, 127) + "1" + r("}", 127),
		"half a character":     "{\"a\": \"\xc3\"}",
		"half a pair":          `{"a": "\ud800"}`,
		"many members":         "{" + r(`"a":1,`, 300_000) + `"b":2}`,
		"a large number":       `{"a": ` + r("9", 1_000_000) + "}",
		"a long text":          `{"a": "` + r("\\u0041", 500_000) + `"}`,
		"more than is allowed": `{"a": "` + r("x", 17<<20) + `"}`,
	} {
		all["input, "+name] = request{Template: "{{ a }}{{ a|tojson }}{{ [a]|sort }}{{ [a, a]|unique|list|length }}{{ a == [a] }}", Input: []byte(input)}
	}
	return all
}

// nests are texts of any number of levels.
var nests = map[string]func(n int) string{
	"brackets":        func(n int) string { return levels("{{ ", "(", "1", ")", " }}", n) },
	"lists":           func(n int) string { return levels("{{ ", "[", "x", "]", " }}", n) },
	"dicts":           func(n int) string { return levels("{{ ", "{'a':", "x", "}", " }}", n) },
	"calls":           func(n int) string { return levels("{{ ", "dict(", "x", ")", " }}", n) },
	"places":          func(n int) string { return levels("{{ ", "a[", "x", "]", " }}", n) },
	"sums":            func(n int) string { return levels("{{ x", "+x", "", "", " }}", n) },
	"sums and lists":  func(n int) string { return levels("{{ ", "x+[x*x*x*x*", "x", "]", " }}", n) },
	"dots":            func(n int) string { return levels("{{ x", ".x", "", "", " }}", n) },
	"filters":         func(n int) string { return levels("{{ x", "|string", "", "", " }}", n) },
	"filters of them": func(n int) string { return levels("{{ x", "|d(x", "", ")", " }}", n) },
	"and":             func(n int) string { return levels("{{ x", " and x", "", "", " }}", n) },
	"orders":          func(n int) string { return levels("{{ x", "<x", "", "", " }}", n) },
	"tests":           func(n int) string { return levels("{{ x", " is odd", "", "", " }}", n) },
	"branches":        func(n int) string { return levels("{{ x", " if x else x", "", "", " }}", n) },
	"powers":          func(n int) string { return levels("{{ x", "**x", "", "", " }}", n) },
	"not":             func(n int) string { return levels("{{ ", "not ", "x", "", " }}", n) },
	"minus":           func(n int) string { return levels("{{ ", "-", "1", "", " }}", n) },
	"if":              func(n int) string { return levels("", "{% if x %}", "", "{% endif %}", "", n) },
	"for":             func(n int) string { return levels("", "{% for i in x %}", "", "{% endfor %}", "", n) },
	"else":            func(n int) string { return levels("", "{% if x %}{% else %}", "", "{% endif %}", "", n) },
	"elif":            func(n int) string { return levels("{% if x %}", "{% elif x %}", "", "", "{% endif %}", n) },
	"with":            func(n int) string { return levels("", "{% with x = 1 %}", "", "{% endwith %}", "", n) },
	"macros":          func(n int) string { return levels("", "{% macro x() %}", "", "{% endmacro %}", "", n) },
	"set":             func(n int) string { return levels("", "{% set x %}", "", "{% endset %}", "", n) },
	"loops and lists": func(n int) string { return levels("", "{% for i in [[[x + x]]] %}", "", "{% endfor %}", "", n) },
	"macro calls": func(n int) string {
		return fmt.Sprintf("{%% macro m(n) %%}{%% if n %%}{%% for i in [1] %%}{{ '' ~ m(n - 1) }}{%% endfor %%}{%% endif %%}{%% endmacro %%}{{ m(%d) }}", n)
	},
	"recursive loops": func(n int) string {
		return fmt.Sprintf("{%% for i in [%d] recursive %%}{%% if i %%}{{ loop([i - 1]) }}{%% endif %%}{%% endfor %%}", n)
	},
}

func levels(begin, open, middle, shut, end string, n int) string {
	return begin + strings.Repeat(open, n) + middle + strings.Repeat(shut, n) + end
}

// trapped are those whose end is the host's doing: values that a template nests or shares have no bound of their own. All
// others must be refused by the guest itself, or render, for a trap costs the instance and counts against the plugin.
var trapped = map[string]string{
	"a deep value":             "nested its calls too deep",
	"a deep value, unused":     "nested its calls too deep",
	"shared lists, compared":   "ran out of fuel",
	"shared lists, sorted":     "ran out of fuel",
	"shared lists, looked for": "ran out of fuel",
	"shared lists, distinct":   "ran out of fuel",
	"shared lists as keys":     "ran out of fuel",
}

// maxHarmPages are 60 MiB: what no template may go beyond on a small dialogue.
const maxHarmPages = 960

// Ensure that templates and dialogues that mean harm are refused in one sentence and soon, take little memory, and leave
// the guest at work.
func TestHarm(t *testing.T) {
	m := loadWithin(t, plugin.RuntimeOptions{}, maxHarmPages)
	good := &request{Template: "{% for m in messages %}<{{ m }}>{% endfor %}", Input: []byte(`{"messages": ["a", "b"]}`)}
	goroutines, slowest := runtime.NumGoroutine(), time.Duration(0)
	for name, q := range harm() {
		if q.Input == nil {
			q.Input = []byte("{}")
		}
		start := time.Now()
		text, err := render(m, &q)
		took := time.Since(start)
		if took > slowest {
			slowest = took
			t.Logf("%v %s: %v", took, name, err)
		}
		switch why := trapped[name]; {
		case why != "" && (err == nil || !strings.Contains(err.Error(), why)):
			t.Errorf("%s: %v, want a trap: %s", name, err, why)
		case why == "" && err != nil && !refused(err):
			t.Errorf("%s: the guest is stopped by the host: %v", name, err)
		}
		if err != nil {
			if s := err.Error(); strings.ContainsAny(s, "\n\r\x00") || !utf8.ValidString(s) || len(s) > 1200 {
				t.Errorf("%s: no clear sentence: %q", name, s)
			}
		}
		if len(text) > 16<<20 {
			t.Errorf("%s: a prompt of %d bytes", name, len(text))
		}
		if text, err := render(m, good); err != nil || text != "<a><b>" {
			t.Fatalf("after %s: %q, %v", name, text, err)
		}
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines more than before", n-goroutines)
	}
}
