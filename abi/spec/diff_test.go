package spec

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// edit parses v1.toml with changes to its text, pairs of what was and what is.
func edit(t *testing.T, text string, changes ...string) *Spec {
	t.Helper()
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			t.Fatalf("v1.toml lacks %q", changes[i])
		}
		text = strings.Replace(text, changes[i], changes[i+1], 1)
	}
	s, err := Parse("new.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Ensure that a change is named, and that only what old guests and hosts can live with passes.
func TestDiff(t *testing.T) {
	b, err := os.ReadFile("../v1.toml")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	old := edit(t, text)
	const rollback = "name = \"forge_rollback\"\nkinds = [\"*\"]\n"
	for _, c := range []struct {
		was, is string
		want    []string // "breaking: path: what" or "appended: ..."
	}{
		{`doc = "done"`, `doc = "all is well"`, nil},
		{"max_module_bytes = 8388608", "max_module_bytes = 9388608", []string{"appended: wasm: max_module_bytes rose from 8388608 to 9388608"}},
		{"max_module_bytes = 8388608", "max_module_bytes = 7388608", []string{"breaking: wasm: max_module_bytes fell from 8388608 to 7388608"}},
		{`, "simd128"]`, `]`, []string{"breaking: wasm: the feature simd128 was removed"}},
		{`section = "forge.abi"`, `section = "forge"`, []string{"breaking: abi: section was forge.abi and is forge"}},
		{"minor = 0", "minor = 1", nil},
		{"arena_align = 65536", "arena_align = 16", []string{"breaking: wasm: arena_align was 65536 and is 16"}},
		{`{ name = "state", type = "string", required = false`, `{ name = "state", type = "string", required = true`, []string{"breaking: manifest state: was optional and is required"}},
		{"[[status]]\nname = \"ok\"", "[[status]]\nname = \"err_busy\"\nvalue = -8\ndoc = \"\"\n[[status]]\nname = \"ok\"", []string{"appended: status err_busy: a new status, -8"}},
		{"name = \"err_nomem\"", "name = \"err_memory\"", []string{"breaking: status err_nomem: was removed", "breaking: status err_memory: takes the number -5 amid the old ones (-7 to 1)"}},
		{"name = \"wasi\"\nbit = 4", "name = \"wasi\"\nbit = 5", []string{"breaking: capability wasi: bit was 4 and is 5"}},
		{"[[capability]]\nname = \"log\"", "[[capability]]\nname = \"clock\"\nbit = 9\ndoc = \"\"\n[[capability]]\nname = \"log\"", []string{"appended: capability clock: a new capability, bit 9"}},
		{`name = "random_get", params = ["i32", "i32"]`, `name = "random_get", params = ["i32"]`, []string{"breaking: capability wasi import wasi_snapshot_preview1.random_get: type was (i32, i32) -> (i32) and is (i32) -> (i32)"}},
		// a frame grows; a record does not
		{"name = \"seq\"\nsize = 80", "name = \"seq\"\nsize = 88", []string{"appended: struct seq: size rose from 80 to 88"}},
		{"name = \"seq\"\nsize = 80", "name = \"seq\"\nsize = 72", []string{"breaking: struct seq: size fell from 80 to 72"}},
		{"name = \"row\"\nsize = 128", "name = \"row\"\nsize = 136", []string{"breaking: struct row: size rose from 128 to 136, and records stand in arrays: only frames grow"}},
		{`{ name = "now", type = "i64", at = 64,`, `{ name = "now", type = "u64", at = 64,`, []string{"breaking: struct text.now: type was i64 and is u64"}},
		{`{ name = "now", type = "i64", at = 64,`, `{ name = "now", type = "i64", at = 72,`, []string{"breaking: struct text.now: offset was 64 and is 72"}},
		{`{ name = "weight", type = "i32[8]"`, `{ name = "weight", type = "i32[7]"`, []string{"breaking: struct op.weight: type was i32[8] and is i32[7]"}},
		{`{ name = "reserved", type = "u32", at = 60, dir = "in"`, `{ name = "budget", type = "u32", at = 60, dir = "in"`, []string{"breaking: struct text.reserved: was removed", "breaking: struct text.budget: is new at 60, before the end of the old fields at 72"}},
		{`name = "selected", type = "i32", at = 48, dir = "inout"`, `name = "selected", type = "i32", at = 48, dir = "out"`, []string{"breaking: struct row.selected: dir was inout and is out"}},
		{`name = "history", type = "span", of = "u32", at = 52`, `name = "history", type = "span", of = "i32", at = 52`, []string{"breaking: struct row.history: of was u32 and is i32"}},
		{`{ name = "stop", value = 4, doc`, `{ name = "tied", value = 8 }, { name = "stop", value = 4, doc`, []string{"appended: enum row_flag.tied: a new value, 8"}},
		{`{ name = "arg_max", value = 4`, `{ name = "arg_max", value = 5`, []string{"breaking: enum plan_op.arg_max: value was 4 and is 5"}},
		{`{ name = "arg_max", value = 4`, `{ name = "softmax", value = 0 }, { name = "arg_max", value = 4`, []string{"breaking: enum plan_op.softmax: takes the number 0 amid the old ones (up to 4)"}},
		{rollback + "required = false", rollback + "required = true", []string{"breaking: export forge_rollback: was optional and is required"}},
		{rollback + "required = false\nframe = \"seq\"", rollback + "required = false\nframe = \"plan\"", []string{"breaking: export forge_rollback: frame was seq and is plan"}},
		{rollback, "name = \"forge_rollback\"\nkinds = [\"sampler\"]\n", []string{"breaking: export forge_rollback: the kind * was removed"}},
		{"[[export]]\n" + rollback, "[[export]]\nname = \"forge_pause\"\nkinds = [\"*\"]\nrequired = false\nframe = \"seq\"\n[[export]]\n" + rollback, []string{"appended: export forge_pause: a new export"}},
		{"[[export]]\n" + rollback, "[[export]]\nname = \"forge_pause\"\nkinds = [\"router\"]\nrequired = true\nframe = \"seq\"\n[[export]]\n" + rollback, []string{"breaking: export forge_pause: is new and required of kinds that were there"}},
		{"name = \"plan_*\"\nkinds = [\"sampler\", \"processor\"]", "name = \"plan_*\"\nkinds = [\"sampler\", \"processor\", \"constraint\"]", []string{"appended: export plan_*: the kind constraint may have it"}},
		{"max_pages = 64", "max_pages = 32", []string{"breaking: kind router: max_pages fell from 64 to 32"}},
		{"base = 50_000, per = 4_000,", "base = 60_000, per = 300,", []string{"appended: kind router: fuel.base rose from 50000 to 60000", "breaking: kind router: fuel.per fell from 4000 to 300"}},
		{`element = "logit"`, `element = "row"`, []string{"breaking: kind processor: element was logit and is row"}},
		{"[[kind]]\nname = \"arch\"", "[[kind]]\nname = \"judge\"\nmarker = \"forge_judge_1\"\n[[kind]]\nname = \"arch\"", []string{"appended: kind judge: a new kind"}},
		{"name = \"philox4x32-10\"", "name = \"pcg\"", []string{"breaking: generator: name was philox4x32-10 and is pcg"}},
		{"name = \"glu\"\ncode = 6", "name = \"glu\"\ncode = 60", []string{"breaking: op glu: code was 6 and is 60"}},
		{"[[op]]\nname = \"glu\"", "[[op]]\nname = \"conv\"\ncode = 40\n[[op]]\nname = \"glu\"", []string{"appended: op conv: a new operation, code 40"}},
		{`w = ["factors?"]`, `w = ["factors?", "sinks?"]`, []string{"appended: op rope: w slot 1 is new: sinks?"}},
		{`w = ["factors?"]`, `w = ["factors?", "sinks"]`, []string{"breaking: op rope: w slot 1 is new and required: sinks"}},
		{`w = ["factors?"]`, `w = []`, []string{"breaking: op rope: w slot 0, factors?, was removed"}},
		{`in = ["q", "k", "v"]`, `in = ["q", "v", "k"]`, []string{"breaking: op attention: in slot 1 was k and is v", "breaking: op attention: in slot 2 was v and is k"}},
		{`attr = [{ name = "cap", type = "f32" }]`, `attr = [{ name = "cap", type = "f32" }, { name = "floor", type = "f32", default = 0.0 }]`, []string{"appended: op softcap.floor: a new attribute"}},
		{`attr = [{ name = "cap", type = "f32" }]`, `attr = [{ name = "cap", type = "f32" }, { name = "floor", type = "f32", default = 1.0 }]`, []string{"breaking: op softcap.floor: is new and its default is not 0, which is what older guests leave in its slot"}},
		{`attr = [{ name = "cap", type = "f32" }]`, `attr = []`, []string{"breaking: op softcap.cap: was removed from attribute slot 0"}},
		{`{ name = "state_floats", slot = 15 }`, `{ name = "state_floats", slot = 13 }`, []string{"breaking: op_reserved 64: attr was [{checkpoint_rows 14} {state_floats 15}] and is [{checkpoint_rows 14} {state_floats 13}]"}},
	} {
		var got []string
		for _, change := range Diff(old, edit(t, text, c.was, c.is)) {
			got = append(got, change.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q:\n got %q\nwant %q", c.is, got, c.want)
		}
		// What is removed the other way round is what was appended this way.
		back := Diff(edit(t, text, c.was, c.is), old)
		if len(c.want) > 0 && strings.HasPrefix(c.want[0], "appended") && !slices.ContainsFunc(back, func(c Change) bool { return c.Breaking }) {
			t.Errorf("%q: taking it back breaks nothing: %v", c.is, back)
		}
	}
}

// Ensure that a field at a frame's end passes, and that a released version does not change without another number.
func TestDiff_Release(t *testing.T) {
	b, err := os.ReadFile("../v1.toml")
	if err != nil {
		t.Fatal(err)
	}
	const pos = `	{ name = "pos", type = "u32", at = 68, dir = "in", doc = "tokens of the sequence before the call" },`
	grow := []string{pos, pos + "\n" + `	{ name = "extra", type = "u64", at = 72, dir = "in", doc = "" },`}
	text := string(b)
	i := strings.Index(text, "pre = \"")
	if i >= 0 {
		end := i + strings.Index(text[i:], "\n")
		text = text[:i] + text[end+1:]
	}
	old := edit(t, text)
	want := "[appended: struct seq.extra: a new field at 72]"
	if got := fmt.Sprint(Diff(old, edit(t, text, append(grow, "minor = 0", "minor = 1")...))); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	want = "[appended: struct seq.extra: a new field at 72 breaking: abi: 1.0 is released and does not change: call this 1.1]"
	if got := fmt.Sprint(Diff(old, edit(t, text, grow...))); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := Diff(old, old); len(got) > 0 {
		t.Errorf("a definition differs from itself: %v", got)
	}
}
