package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// paper runs forge run --receipt and gives the receipt's path.
func paper(t *testing.T, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "receipt.json")
	forge(t, "", append([]string{"run", "-m", storiesFile, "-p", "Once upon", "--raw", "--seed", "4", "--receipt", path}, args...)...).must(t)
	return path
}

// forged gives a copy of a receipt that was changed.
func forged(t *testing.T, path string, change func(r map[string]any)) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := map[string]any{}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&r); err != nil {
		t.Fatal(err)
	}
	change(r)
	if text, err = json.Marshal(r); err != nil {
		t.Fatal(err)
	}
	return write(t, "changed.json", string(text))
}

// Ensure that a receipt says what the run depended on.
func TestReceipt(t *testing.T) {
	text, err := os.ReadFile(paper(t, "-n", "5", "--top-k", "7", "--set", "temp=1.5", "-b", "32"))
	if err != nil {
		t.Fatal(err)
	}
	model, err := os.ReadFile(storiesFile)
	if err != nil {
		t.Fatal(err)
	}
	sampler, err := os.ReadFile(root("plugins", "sampler", "sampler.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf(`"bytes":%d,"sha256":"%x"`, len(model), sha256.Sum256(model)),
		fmt.Sprintf(`{"name":"sampler","kind":"sampler","sha256":"%x","grants":["history","logprobs"]`, sha256.Sum256(sampler)),
		`"abi":"1.0"`, `"device":"simd"`, `"batch":32`, `"settings":{"temp":1.5,"top_k":7}`, `"seed":4,"max_tokens":5`, `"prompt":[1,403,407]`, `"pos":7,"from":4,"to":5}],"finish":"length"}`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("it lacks %s\n%s", want, text)
		}
	}
	if o := forge(t, "", "run", "-m", storiesFile, "-p", "a", "--raw", "-n", "1", "--receipt", filepath.Join(t.TempDir(), "none", "x")); o.status != 1 || !strings.Contains(o.err, "no such file") {
		t.Errorf("a receipt that cannot be written: status %d, %s", o.status, o.err)
	}
}

// Ensure that what was run is proved: as it was, on the other device, with a plugin of one's own, to a stop text, to the end.
func TestReplay_Proved(t *testing.T) {
	margin := root("examples", "sampler-c", "margin.wasm")
	set := write(t, "plugins.toml", string(bytes.Replace(mustRead(t, root("plugins.toml")), []byte("kind = \"sampler\"\n"), []byte("kind = \"sampler\"\nconfig = { temp = 30, top_k = 0, top_p = 1, min_p = 0 }\n"), 1)))
	for _, c := range []struct {
		name         string
		args, replay []string
		want         string
	}{
		{"plain", []string{"-n", "20"}, nil, "proved: 20 tokens equal"},
		{"on the other device", []string{"-n", "20"}, []string{"--device", "scalar"}, "proved: 20 tokens equal"},
		{"from a copy in memory", []string{"-n", "20"}, []string{"--no-mmap"}, "proved: 20 tokens equal"},
		{"a cache of another format", []string{"-n", "9", "--device", "scalar", "-ctk", "f16"}, nil, "proved: 9 tokens equal"},
		{"Mirostat", []string{"-n", "20", "--mirostat", "2", "-l", "300-inf"}, nil, "proved: 20 tokens equal"},
		{"a plugin", []string{"-n", "9", "--plugin", margin, "--samplers", "margin;dist", "--set", "margin=3"}, []string{"--plugin", margin}, "proved: 9 tokens equal"},
		{"the set's settings", []string{"-n", "9", "--plugins", set}, nil, "proved: 9 tokens equal"},
		{"a form", []string{"-n", "20", "--regex", "[a-z ]*", "--temp", "1.5"}, nil, "proved: 20 tokens equal"},
		{"a banned text, taken back", []string{"-n", "20", "--banned-string", "little girl", "--temp", "0"}, nil, "proved: 24 tokens equal"},
		{"a stop text", []string{"-n", "20", "--stop", "there"}, nil, "proved: 4 tokens equal"},
		{"the end of the context", []string{"-c", "8", "--ignore-eos"}, []string{"-m", storiesFile}, "proved: 5 tokens equal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := forge(t, "", append([]string{"replay", paper(t, c.args...)}, c.replay...)...)
			if o.status != 0 || o.out != c.want+"\n" {
				t.Errorf("status %d, %q, want %q\n%s", o.status, o.out, c.want, o.err)
			}
		})
	}
}

// Ensure that of a run that its user stopped what there is is proved.
func TestReplay_Cancelled(t *testing.T) {
	cut := forged(t, paper(t, "-n", "20"), func(r map[string]any) {
		r["finish"], r["tokens"] = "cancelled", r["tokens"].([]any)[:7]
	})
	if o := forge(t, "", "replay", cut); o.status != 0 || o.out != "proved: 7 tokens equal\n" {
		t.Errorf("status %d, %q %s", o.status, o.out, o.err)
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Ensure that every change of a receipt is found, and said where it shows.
func TestReplay_Disproved(t *testing.T) {
	receipt := paper(t, "-n", "20")
	token := func(r map[string]any, i int) map[string]any { return r["tokens"].([]any)[i].(map[string]any) }
	plugin := func(r map[string]any, i int) map[string]any { return r["plugins"].([]any)[i].(map[string]any) }
	other := rewrite(t, map[string]any{"general.name": "another"})
	for _, c := range []struct {
		name   string
		change func(r map[string]any)
		args   []string
		status int
		want   string
	}{
		{"a token", func(r map[string]any) { token(r, 5)["id"] = 262 }, nil, 1, "disproved after 5 equal tokens: token 6 (position 8) is 262 in the receipt, and 261 in the run\n"},
		{"the seed", func(r map[string]any) { r["seed"] = 5 }, nil, 1, " in the receipt, and "},
		{"a draw", func(r map[string]any) { token(r, 7)["to"] = 9 }, nil, 1, "disproved after 7 equal tokens: token 8 (position 10) is 298 in both, but the receipt draws 7 to 9, and the run 7 to 8\n"},
		{"a token less", func(r map[string]any) { r["tokens"] = r["tokens"].([]any)[:19] }, nil, 1, "disproved after 19 equal tokens: the receipt ends before token 20 (position 22), which is 264 in the run\n"},
		{"a token more", func(r map[string]any) { r["tokens"] = append(r["tokens"].([]any), token(r, 0)) }, nil, 1, "token 21 (position 3) is 261 in the receipt, and the run ends before it (length)\n"},
		{"the finish", func(r map[string]any) { r["finish"] = "stop" }, nil, 1, `the receipt says that it ended by "stop", the run ends by "length"`},
		{"a setting", func(r map[string]any) { r["settings"] = map[string]any{"temp": 30, "top_k": 0, "min_p": 0, "top_p": 1} }, nil, 1, "disproved after "},
		{"the prompt", func(r map[string]any) { r["prompt"] = []int{1, 403, 300} }, nil, 1, "disproved after "},
		{"a digest", func(r map[string]any) { plugin(r, 2)["sha256"] = strings.Repeat("ab", 32) }, nil, 1, "forge: another module: plugin sampler has sha256 "},
		{"a plugin", func(r map[string]any) { plugin(r, 1)["name"], plugin(r, 1)["sha256"] = "wpm", "00" }, nil, 1, "forge: plugin wpm (tokenizer, sha256 00) is not here: name its file with --plugin"},
		{"the model", func(map[string]any) {}, []string{"-m", other}, 1, "forge: another model: " + other + " has sha256 "},
		{"the model's place", func(r map[string]any) { r["model"].(map[string]any)["file"] = "gone.gguf" }, nil, 1, "the receipt's model gone.gguf is not here: name the file with -m"},
		{"the form", func(r map[string]any) { r["receipt"] = 2 }, nil, 1, "the receipt has the form 2, this forge reads 1"},
		{"no receipt", func(r map[string]any) { delete(r, "receipt") }, nil, 1, "it lacks the key receipt"},
		{"a large batch", func(r map[string]any) { r["batch"] = 1 << 40 }, nil, 1, "batch is 1099511627776; it is 1 to 16777216"},
		{"a large context", func(r map[string]any) { r["context"] = 1 << 40 }, nil, 1, "context is 1099511627776; it is 1 to 16777216"},
		{"no prompt", func(r map[string]any) { r["prompt"] = nil }, nil, 1, "prompt is empty"},
		{"no number", func(r map[string]any) { r["seed"] = "x" }, nil, 1, "not a receipt of forge run --receipt"},
		{"no token of the vocabulary", func(r map[string]any) { r["prompt"] = []int{1 << 30} }, nil, 1, "token id 1073741824 is not in the vocabulary"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := forge(t, "", append([]string{"replay", forged(t, receipt, c.change)}, c.args...)...)
			if o.status != c.status || !strings.Contains(o.out+o.err, c.want) {
				t.Errorf("status %d, %q %q\nwant %q", o.status, o.out, o.err, c.want)
			}
		})
	}
}
