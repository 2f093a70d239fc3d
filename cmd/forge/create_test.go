package main

import (
	"context"
	"encoding/json"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"forge/abi"
	"forge/gguf"
	"forge/gguf/randmodel"
	"forge/host"
	"forge/host/author"
	"forge/host/chat"
	"forge/host/plugin"
	"forge/kernels"
	"forge/plugins"
)

// buildable skips where a language's tools are not here, or take long and the long form is not asked for.
func buildable(t *testing.T, lang string) {
	t.Helper()
	tool := map[string]string{"c": "clang-19", "rust": "/usr/bin/rustc", "assemblyscript": "npm", "go": "go"}[lang]
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("%s is not here", tool)
	}
	if !testAll() && (lang == "rust" || lang == "assemblyscript") {
		t.Skip("set FORGE_TEST_ALL: it builds Rust's core library, or fetches a compiler")
	}
}

// started makes a plugin with forge plugin new, builds it with its one command, and gives the module's path.
func started(t *testing.T, kind, lang string) string {
	t.Helper()
	buildable(t, lang)
	name := "my_" + kind
	dir := filepath.Join(t.TempDir(), name)
	made := forge(t, "", "plugin", "new", "--kind", kind, "--lang", lang, dir).must(t)
	if want := "  cd " + dir + " && ./build.sh\n"; !strings.Contains(made.out, want) {
		t.Errorf("it does not say how to build\n%s", made.out)
	}
	build := exec.Command("./build.sh")
	build.Dir, build.Env = dir, append(os.Environ(), "FORGE_BE_FORGE=1", "FORGE="+absolute(t, os.Args[0]))
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, name+".wasm")
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Ensure that everything that forge plugin new offers builds with its one command and passes forge plugin check, and that what
// it made does what its first line says.
func TestPluginNew(t *testing.T) {
	works := map[string]func(t *testing.T, module string){
		"sampler": samplerWorks, "processor": processorWorks, "tokenizer": tokenizerWorks, "constraint": constraintWorks,
		"router": routerWorks, "arch": archWorks, "template": templateWorks,
	}
	n := 0
	for lang, kinds := range author.Starts(plugins.SDK()) {
		for _, kind := range kinds {
			n++
			t.Run(kind+" in "+lang, func(t *testing.T) {
				module := started(t, kind, lang)
				if o := forge(t, "", "plugin", "check", module, "--fuzz", "20"); o.status != 0 || strings.Contains(o.out, "FAILED") {
					t.Errorf("status %d\n%s%s", o.status, o.out, o.err)
				}
				readme, err := os.ReadFile(filepath.Join(filepath.Dir(module), "README.md"))
				if err != nil || strings.Contains(string(readme), "NAME") || !strings.Contains(string(readme), "\n    ./build.sh\n") {
					t.Errorf("%v\n%s", err, readme)
				}
				if works[kind] == nil {
					t.Fatalf("no test of the kind %s", kind)
				}
				works[kind](t, module)
			})
		}
	}
	if n < 12 {
		t.Errorf("%d starts are offered", n)
	}
}

type stepReport struct {
	Tokens   []uint32
	Logprobs [][][2]float64
}

// steps runs stories260K and gives the tokens and, of each step, the best ids before the samplers.
func steps(t *testing.T, args ...string) stepReport {
	t.Helper()
	o := forge(t, "", append([]string{"run", "-m", storiesFile, "-p", "Once upon", "--raw", "-n", "30", "--ignore-eos", "--seed", "11", "--json", "--logprobs", "2"}, args...)...).must(t)
	var r stepReport
	if err := json.Unmarshal([]byte(o.out), &r); err != nil || len(r.Tokens) != 30 {
		t.Fatalf("%v\n%s", err, o.out)
	}
	return r
}

// samplerWorks: with chance 1 every token is the second best, with 0 the best, and between both some are.
func samplerWorks(t *testing.T, module string) {
	for _, c := range []struct {
		chance    string
		atLeast   int
		atMost    int
		rank      int
		otherRank int
	}{{"0", 30, 30, 0, 0}, {"1", 30, 30, 1, 1}, {"0.5", 5, 25, 1, 0}} {
		r, n := steps(t, "--plugin", module, "--samplers", "my_sampler;greedy", "--set", "chance="+c.chance), 0
		for i, id := range r.Tokens {
			rank := slices.IndexFunc(r.Logprobs[i], func(l [2]float64) bool { return l[0] == float64(id) })
			if rank == c.rank {
				n++
			} else if rank != c.otherRank {
				t.Errorf("chance %s: token %d is number %d of its row", c.chance, i+1, rank)
			}
		}
		if n < c.atLeast || n > c.atMost {
			t.Errorf("chance %s: %d of 30 tokens are number %d of their rows", c.chance, n, c.rank)
		}
	}
}

// processorWorks: a large penalty lets no token follow itself, where otherwise some do.
func processorWorks(t *testing.T, module string) {
	repeats := func(penalty string) (n int) {
		r := steps(t, "--plugin", module, "--samplers", "my_processor;top_k;temperature;dist", "--top-k", "3", "--temp", "1000", "--set", "penalty="+penalty)
		for i := 1; i < len(r.Tokens); i++ {
			if r.Tokens[i] == r.Tokens[i-1] {
				n++
			}
		}
		return n
	}
	if with, without := repeats("1000"), repeats("0"); with != 0 || without == 0 {
		t.Errorf("%d tokens follow themselves under a penalty, %d without", with, without)
	}
}

// tokenizerWorks: a text becomes the longest tokens of the file's vocabulary, and they become the text.
func tokenizerWorks(t *testing.T, module string) {
	f, err := gguf.Open(storiesFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list, _, err := f.Array("tokenizer.ggml.tokens")
	if err != nil {
		t.Fatal(err)
	}
	texts, err := list.Strings()
	if err != nil {
		t.Fatal(err)
	}
	text := "Once▁upon▁a▁time,▁there▁was▁a▁little▁girl▁named▁Lily.▁ünter"
	want := []int{1} // BOS is the host's to add
	for rest := text; rest != ""; {
		best := -1
		for id, s := range texts {
			if s != "" && strings.HasPrefix(rest, s) && (best < 0 || len(s) > len(texts[best])) {
				best = id
			}
		}
		if best < 0 { // the unknown token, for one character
			_, n := utf8.DecodeRuneInString(rest)
			want, rest = append(want, 0), rest[n:]
			continue
		}
		want, rest = append(want, best), rest[len(texts[best]):]
	}
	model := rewrite(t, map[string]any{"tokenizer.ggml.model": "my_tokenizer"})
	o := forge(t, "", "tokenize", "-m", model, "--plugin", module, "-p", text, "--json").must(t)
	var got []int
	if err := json.Unmarshal([]byte(o.out), &got); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v: got %v\nwant %v", err, got, want)
	}
	args := []string{"detokenize", "-m", model, "--plugin", module}
	for _, id := range got[1:] {
		args = append(args, strconv.Itoa(id))
	}
	if o := forge(t, "", args...).must(t); strings.TrimSuffix(o.out, "\n") != strings.ReplaceAll(text, "ü", texts[0]) {
		t.Errorf("the tokens give %q", o.out)
	}
}

// constraintWorks: of a vocabulary just the tokens with a banned character are forbidden, and never the end.
func constraintWorks(t *testing.T, module string) {
	wasm, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	m, err := testRuntime.Load(ctx, plugin.Spec{Name: "my_constraint", Kind: "constraint", Wasm: wasm, Grants: []string{"vocab"}})
	if err != nil {
		t.Fatal(err)
	}
	pieces := []string{"</s>1", "a", "b1", "x", "e\u0301", "xyx", "1", "", "long text without", "y"}
	each := iter.Seq[[]byte](func(yield func([]byte) bool) {
		for i := 0; i < len(pieces) && yield([]byte(pieces[i])); i++ {
		}
	})
	c, err := m.NewConstraint(ctx, &plugin.Vocab{N: len(pieces), Model: "gpt2", Texts: each, Pieces: each, EOG: []uint32{0}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for seq, without := range []string{"0123456789", "xy", ""} {
		s, err := m.Settings(map[string]any{"without": without})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Begin(ctx, uint64(seq), s); err != nil {
			t.Fatal(err)
		}
		row := []plugin.MaskRow{{Seq: uint64(seq), Mask: make([]uint32, 1)}}
		if err := c.Mask(ctx, row); err != nil || row[0].Err != nil || row[0].Result != abi.MaskResultMask {
			t.Fatal(err, row[0])
		}
		for id, piece := range pieces {
			if want := id == 0 || !strings.ContainsAny(piece, without); want != (row[0].Mask[0]>>id&1 == 1) {
				t.Errorf("without %q: %q is allowed: %t", without, piece, !want)
			}
		}
	}
}

// routerWorks: by plan and by call alike; a sum of 1 is what this model has itself, one of 0.5 is not.
func routerWorks(t *testing.T, module string) {
	wasm, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	shape := randmodel.Models()["qwen3moe"]
	path, tokens := randomModel(t, shape), shape.Tokens(20)
	native := routedLogits(t, path, kernels.Scalar{}, host.Options{}, nil, tokens)
	for _, sum := range []float64{1, 0.5} {
		change := func(cfg *plugin.Config) {
			cfg.Plugins = append(cfg.Plugins, plugin.Spec{Name: "my_router", Kind: "router", Wasm: wasm, Config: map[string]any{"sum": sum}})
			cfg.Router = "my_router"
		}
		planned := routedLogits(t, path, kernels.Scalar{}, host.Options{}, change, tokens)
		if called := routedLogits(t, path, kernels.Scalar{}, host.Options{RouterCalls: true}, change, tokens); !sameBits(planned, called) {
			t.Errorf("sum %g: by plan and by call the logits differ", sum)
		}
		if same := sameBits(planned, native); same != (sum == 1) {
			t.Errorf("sum %g: as the model by itself: %t", sum, same)
		}
	}
}

// archWorks: stories260K under another architecture's name says what it says as llama.
func archWorks(t *testing.T, module string) {
	f, err := gguf.Open(storiesFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := gguf.NewWriter()
	for _, key := range f.Keys {
		old, _ := f.Get(key)
		v := any(old)
		if key == "general.architecture" {
			v = "my_arch"
		}
		if rest, ok := strings.CutPrefix(key, "llama."); ok {
			key = "my_arch." + rest
		}
		w.Set(key, v)
	}
	for _, x := range f.Tensors {
		w.AddTensor(x.Name, x.Type, x.Dims, x.Data())
	}
	model := filepath.Join(t.TempDir(), "my_arch.gguf")
	out, err := os.Create(model)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteTo(out); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	args := []string{"-p", "Once upon", "--raw", "-n", "20", "--temp", "0"}
	want := forge(t, "", append([]string{"run", "-m", storiesFile}, args...)...).must(t).out
	if got := forge(t, "", append([]string{"run", "-m", model, "--plugin", module}, args...)...).must(t).out; got != want {
		t.Errorf("got %q, as llama %q", got, want)
	}
}

// templateWorks: dialogues of any text and length become ChatML.
func templateWorks(t *testing.T, module string) {
	ctx := context.Background()
	m, err := testRuntime.Load(ctx, plugin.Spec{Name: "my_template", Kind: "template", Wasm: mustRead(t, module)})
	if err != nil {
		t.Fatal(err)
	}
	format, err := m.NewTemplate(ctx, "not looked at", "<s>", "</s>")
	if err != nil {
		t.Fatal(err)
	}
	defer format.Close()
	render := func(d *chat.Dialogue) (string, error) {
		r := chat.Renderer{Open: func(context.Context) (chat.Template, error) { return format, nil }}
		text, _, err := r.Render(ctx, d)
		return text, err
	}
	for _, texts := range [][]string{
		{"Hello"}, {"", "x"}, {}, {"Say \"hi\" & <b>, \\ and \t tabs\nand lines, }{][ too", "ü € \U0001F600 \u2028 \x01\b\f\r"},
		{`"role": "x", content`, `\`, `"`}, {strings.Repeat("Lines.\n", 100_000), "and\\then"}, {"short again"},
	} {
		d, want := &chat.Dialogue{AddGenerationPrompt: len(texts) != 2, Vars: map[string]any{"a": []any{1, "]", nil, true}, "z": -1.5e3}}, ""
		for i, text := range texts {
			role := []string{"system", "user", "assistant"}[i%3]
			d.Messages = append(d.Messages, chat.Message{Role: role, Content: text, Extra: map[string]json.RawMessage{"name": json.RawMessage(`{"role":["}"]}`)}})
			want += "<|im_start|>" + role + "\n" + text + "<|im_end|>\n"
		}
		if d.AddGenerationPrompt {
			want += "<|im_start|>assistant\n"
		}
		if got, err := render(d); err != nil || got != want {
			t.Errorf("%.200q gives %v\n%.200q\nwant %.200q", texts, err, got, want)
		}
	}
	parts := `{"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]}`
	if _, err := format.Render(ctx, []byte(parts), time.Time{}); err == nil || !strings.Contains(err.Error(), "a message has parts: this format takes text alone") {
		t.Errorf("parts: %v", err)
	}
}

// Ensure that the samplers in all languages are one: the same tokens for the same seed.
func TestPluginNew_Languages(t *testing.T) {
	want := steps(t, "--plugin", started(t, "sampler", "c"), "--samplers", "top_k;my_sampler;temperature;dist", "--set", "chance=0.3").Tokens
	for _, lang := range []string{"rust", "assemblyscript", "go"} {
		t.Run(lang, func(t *testing.T) {
			got := steps(t, "--plugin", started(t, "sampler", lang), "--samplers", "top_k;my_sampler;temperature;dist", "--set", "chance=0.3").Tokens
			if !slices.Equal(got, want) {
				t.Errorf("got %v\nin C %v", got, want)
			}
		})
	}
}

// Ensure that what cannot be made is refused in a sentence that says what can, and that nothing is written over.
func TestPluginNew_Refused(t *testing.T) {
	dir := t.TempDir()
	full := filepath.Join(dir, "full")
	if err := os.MkdirAll(full, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(full, "notes"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{full}, "exists and is not empty: name a new folder"},
		{[]string{filepath.Join(full, "notes")}, "not a directory"},
		{[]string{filepath.Join(dir, "My-Sampler")}, `"My-Sampler" cannot be a plugin's name here: take up to 32 small letters, digits and underscores, a letter first`},
		{[]string{filepath.Join(dir, strings.Repeat("x", 33))}, "cannot be a plugin's name"},
		{[]string{}, "name one folder"},
		{[]string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}, "name one folder"},
		{[]string{"--lang", "zig", filepath.Join(dir, "a")}, `--lang "zig": there is a start in c, rust, assemblyscript, go`},
		{[]string{"--lang", "go", "--kind", "arch", filepath.Join(dir, "a")}, `--kind "arch": there is no start of that kind in go; in go there is one of kind processor, sampler, and one of kind arch in c`},
		{[]string{"--kind", "drummer", filepath.Join(dir, "a")}, `--kind "drummer": there is no start of that kind in c; in c there is one of kind arch, `},
	} {
		if o := forge(t, "", append([]string{"plugin", "new"}, c.args...)...); o.status != 1 || !strings.Contains(o.err, c.want) {
			t.Errorf("%v: status %d, %s\nwant %s", c.args, o.status, o.err, c.want)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("something was made: %v %v", left, err)
	}
}
