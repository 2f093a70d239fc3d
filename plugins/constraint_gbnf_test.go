package plugins_test

import (
	"slices"
	"strings"
	"testing"

	"forge/abi"
)

// enumerate lists the texts of a sequence's language that begin with what was accepted and have at most that many further
// bytes, found by following the masks.
func (c *constrainer) enumerate(t *testing.T, seq uint64, text string, most int) []string {
	a, err := c.ask(seq)
	if err != nil {
		t.Fatalf("after %q: %v", text, err)
	}
	var out []string
	if a.result == abi.MaskResultStop {
		return []string{text}
	}
	if a.allows(c.vocab.eog[0]) {
		out = append(out, text)
	}
	for b := range uint32(256) {
		if most == 0 || !a.allows(b) {
			continue
		}
		if err := c.accept(seq, b); err != nil {
			t.Fatal(err)
		}
		out = append(out, c.enumerate(t, seq, text+c.vocab.pieces[b], most-1)...)
		if err := c.rollback(seq, 1); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// Ensure that grammars let through their languages, which are listed here up to some length, and nothing else.
func TestConstraint_GBNF(t *testing.T) {
	g := openConstraint(t, byteVocab(), 1<<16)
	for _, c := range []struct {
		name, grammar string
		most          int
		want          string
	}{
		{"text", `root ::= "ab"`, 9, "ab"},
		{"nothing", `root ::= ""`, 9, ""},
		{"alternatives", "root ::= \"a\" | b\n  | \"c\" \"d\"\nb ::= \"b\"", 9, "a b cd"},
		{"group", `root ::= ("a" | "b") ("c" | "d")`, 9, "ac ad bc bd"},
		{"group over lines", "root ::= (\n \"a\" # one\n | \"b\"\n) \"c\"", 9, "ac bc"},
		{"optional", `root ::= "a"? "b"?`, 9, " a b ab"},
		{"star", `root ::= "a"*`, 3, " a aa aaa"},
		{"plus", `root ::= ("a" | "b")+`, 2, "a b aa ab ba bb"},
		{"counts", `root ::= "a"{2} "b"{0,1} "c"{1,}`, 5, "aac aacc aaccc aabc aabcc"},
		{"large counts", `root ::= ("a" | "bc"){3,200} "d"`, 5, "aaad aaaad aabcd abcad bcaad"},
		{"counts of counts", `root ::= ("a"{1,2} ","){2}`, 9, "a,a, a,aa, aa,a, aa,aa,"},
		{"class", `root ::= [a-cx]`, 9, "a b c x"},
		{"negated class", `root ::= [^\x01-\U0010FFFF] | "z"`, 9, "\x00 z"},
		{"class of signs", `root ::= [\]\[\\^-]`, 9, "] [ \\ ^ -"},
		{"escapes", `root ::= "\x41\u00e9\U0001F600\"\\\n\t\r"`, 20, "Aé😀\"\\\n\t\r"},
		{"characters", `root ::= [é-ë] [日本]`, 9, "é日 é本 ê日 ê本 ë日 ë本"},
		{"recursion", `root ::= "(" root ")" | "x"`, 7, "x (x) ((x)) (((x)))"},
		{"right recursion", `root ::= "a" root | "b"`, 4, "b ab aab aaab"},
		{"ambiguity", "root ::= a a a\na ::= \"x\" | \"x\" \"x\"", 9, "xxx xxxx xxxxx xxxxxx"},
		{"empty rules", "root ::= a b a\na ::= \"x\"?\nb ::= a a", 9, " x xx xxx xxxx"},
		{"two stacks", "root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"a\"", 5, "a aab aac aaabb aaabc aaacb aaacc"},
		{"dead ends", "root ::= \"a\" loop | \"b\"\nloop ::= \"x\" loop", 9, "b"},
		{"names", "root ::= my-rule_1 r2\nmy-rule_1 ::= \"a\"\nr2 ::= \"b\"", 9, "ab"},
		{"comments", "# a grammar\nroot ::= \"a\" # the end\n# more\n\n", 9, "a"},
		{"repeated twice", `root ::= "a"?*`, 2, " a aa"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := g.begin(1, settings{grammar: c.grammar}); err != nil {
				t.Fatal(err)
			}
			want := strings.Split(c.want, " ")
			got := g.enumerate(t, 1, "", c.most)
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("lets through %q, want %q", got, want)
			}
		})
	}
}

// Ensure that what is no grammar, expression or list is refused, and that the sentence says why and where.
func TestConstraint_Refuses(t *testing.T) {
	c := openConstraint(t, byteVocab(), 1<<16)
	for _, r := range []struct {
		set  settings
		want string
	}{
		{settings{grammar: "root ::= a"}, "grammar: there is no rule a"},
		{settings{grammar: `a ::= "x"`}, "it has no rule named root"},
		{settings{grammar: "root ::= \"a\" b c ::="}, "line 1, column 18: this belongs to no rule"},
		{settings{grammar: `root ::= "a`}, "grammar, line 1, column 12: the text or class is not closed"},
		{settings{grammar: "root ::= \"a\"\nroot ::= \"b\""}, "line 2, column 9: there is a rule of this name already: root"},
		{settings{grammar: `root ::= ("a"`}, "a closing parenthesis should stand here"},
		{settings{grammar: `root ::= "a")`}, "line 1, column 13: this belongs to no rule"},
		{settings{grammar: `root ::= "\q"`}, "there is no such escape"},
		{settings{grammar: `root ::= [z-a]`}, "the range of the class ends before it begins"},
		{settings{grammar: `root ::= "a"{3,2}`}, "the repetition's second number is below the first"},
		{settings{grammar: `root ::= "a"{999999}`}, "the number is above 100000"},
		{settings{grammar: `root = "a"`}, "::= should follow the rule's name root"},
		{settings{grammar: `root ::= root "a" | "b"`}, "rule root calls itself before it has read anything (left recursion)"},
		{settings{grammar: "root ::= a\na ::= b \"x\" | \"z\"\nb ::= \"y\"? a"}, "(left recursion)"},
		{settings{grammar: `root ::= "a" root`}, "no text fits"},
		{settings{grammar: `root ::= <think>`}, "tokens as symbols"},
		{settings{grammar: "root ::= \"\xff\""}, "the text is not UTF-8"},
		{settings{grammar: "root ::= " + strings.Repeat("(", 101) + strings.Repeat(")", 101)}, "groups are nested deeper than 100"},
		{settings{regex: "a("}, "regex, line 1, column 3: a closing parenthesis should stand here"},
		{settings{regex: "a)"}, "a closing parenthesis stands alone"},
		{settings{regex: "[a"}, "the class is not closed"},
		{settings{regex: "*a"}, "there is nothing to repeat"},
		{settings{regex: "a**"}, "one repetition follows another"},
		{settings{regex: "a{2}{3}"}, "one repetition follows another"},
		{settings{regex: `(a)\1`}, "references back are not regular"},
		{settings{regex: "a(?=b)"}, "looking ahead is not supported"},
		{settings{regex: "(?<!b)a"}, "looking back is not supported"},
		{settings{regex: `\bword`}, "word boundaries are not supported"},
		{settings{regex: `\p{L}`}, "Unicode properties are not supported"},
		{settings{regex: "(?i)a"}, "groups with flags are not supported"},
		{settings{regex: "a^b"}, "^ stands only at the beginning"},
		{settings{regex: "a$b"}, "$ stands only at the end"},
		{settings{regex: "a++"}, "possessive repetitions are not supported"},
		{settings{regex: `[^\x{0}-\x{10FFFF}]`}, "no text fits"},
		{settings{choice: `[]`}, "choice is an empty list"},
		{settings{choice: `["a", 1]`}, "choice is not a JSON array of texts"},
		{settings{choice: `"a"`}, "choice is not a JSON array of texts"},
		{settings{choice: `["a"`}, "choice is not valid JSON at byte 5"},
		{settings{banned: `[""]`}, "banned_strings has an empty text"},
		{settings{banned: `{}`}, "banned_strings is not a JSON array of texts"},
		{settings{schema: `{"a":1,"a":2}`}, "the key is there already"},
		{settings{schema: `{"type":"string"`}, "json_schema is not valid JSON at byte 17"},
		{settings{grammar: `root ::= "a"`, regex: "a"}, "grammar and regex are both set: give one"},
	} {
		err := c.begin(1, r.set)
		if err == nil || !strings.Contains(err.Error(), r.want) {
			t.Errorf("%+v: error %v, want %q", r.set, err, r.want)
		}
	}
}

// Ensure that the further forms of regular expressions mean what they do elsewhere.
func TestConstraint_RegexForms(t *testing.T) {
	c := openConstraint(t, byteVocab(), 1<<16)
	for _, r := range []struct{ regex, in, out string }{
		{`\d\D`, "1a 1- 9é", "11 a1 11a"},
		{`\w+`, "a_Z9", "é a- "},
		{`\s\S`, "\ta \n-", "a\t \t\v"},
		{`[\d,]+`, "1,2", "a"},
		{`[^\d\s]`, "a -", "1 \t"},
		{`[]a]`, "] a", "b"},
		{`[a\-z]`, "a - z", "b"},
		{`[a-]`, "a -", "b"},
		{`.`, "a é", "\n \r ab"},
		{`\x41\x{1F600}\u00e9\u{e8}\ud83d\ude00`, "A😀éè😀", "A"},
		{`\.\*\/\-\{`, ".*/-{", ".*/-"},
		{`a{,2}`, "a{,2}", "a aa"},
		{`a{x}`, "a{x}", "a"},
		{`^ab$`, "ab", "a abc"},
		{`^a|b$`, "a b", "ab"},
		{`(^a|b$)`, "a b", "ab"},
		{`a+?b*?`, "a aab", "b"},
		{`(?:a|b)(?P<n>c)(?<m>d)`, "acd bcd", "ac"},
		{`a|`, "a", "b"},
		{`(a|b)c`, "ac bc", "c"},
		{`\t\n\r\f\v\0`, "\t\n\r\f\v\x00", "t"},
	} {
		for text := range strings.SplitSeq(r.in, " ") {
			if !c.matches(t, settings{regex: r.regex}, text) {
				t.Errorf("%s does not match %q", r.regex, text)
			}
		}
		for text := range strings.SplitSeq(r.out, " ") {
			if c.matches(t, settings{regex: r.regex}, text) {
				t.Errorf("%s matches %q", r.regex, text)
			}
		}
	}
	if !c.matches(t, settings{regex: `a|`}, "") {
		t.Error("a| does not match the empty text")
	}
}
