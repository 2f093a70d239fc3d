package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"forge/gguf"
	"forge/plugins"
)

// The binary as users have it: the test binary runs itself as forge.

type outcome struct {
	out, err string
	status   int
}

func forge(t testing.TB, stdin string, args ...string) outcome {
	t.Helper()
	return forgeEnv(t, nil, stdin, args...)
}

func forgeEnv(t testing.TB, env []string, stdin string, args ...string) outcome {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), "FORGE_BE_FORGE=1", "XDG_CONFIG_HOME="+t.TempDir()), env...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return outcome{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// must fails the test if the command failed.
func (o outcome) must(t testing.TB) outcome {
	t.Helper()
	if o.status != 0 {
		t.Fatalf("exit status %d\n%s", o.status, o.err)
	}
	return o
}

var storiesFile = root("testdata", "stories260K", "stories260K.gguf")

// rewrite copies stories260K with changes to its metadata: other values, further keys; a nil value takes the key out.
func rewrite(t testing.TB, change map[string]any, drop ...string) string {
	t.Helper()
	f, err := gguf.Open(storiesFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := gguf.NewWriter()
	for _, key := range f.Keys {
		v, changed := change[key]
		switch {
		case changed && v == nil:
		case changed:
			w.Set(key, v)
		default:
			old, _ := f.Get(key)
			w.Set(key, old)
		}
	}
	for key, v := range change {
		if _, old := f.Get(key); !old {
			w.Set(key, v)
		}
	}
	for _, x := range f.Tensors {
		if !contains(drop, x.Name) {
			w.AddTensor(x.Name, x.Type, x.Dims, x.Data())
		}
	}
	path := filepath.Join(t.TempDir(), "changed.gguf")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteTo(out); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Ensure that whatever is wrong with a command, its files or its model gets one sentence and exit status 1.
func TestErrors(t *testing.T) {
	arch := rewrite(t, map[string]any{"general.architecture": "mamba9"})
	noArch := rewrite(t, map[string]any{"general.architecture": nil})
	noModel := rewrite(t, map[string]any{"tokenizer.ggml.model": nil})
	otherModel := rewrite(t, map[string]any{"tokenizer.ggml.model": "rwkv"})
	noTokens := rewrite(t, map[string]any{"tokenizer.ggml.tokens": nil})
	noLayers := rewrite(t, map[string]any{"llama.block_count": nil})
	noTensor := rewrite(t, nil, "blk.2.ffn_up.weight")
	badPin := write(t, "plugins.toml", "[[plugin]]\nname = \"llama\"\nkind = \"arch\"\nfile = \"shipped:llama\"\nsha256 = \""+strings.Repeat("0", 64)+"\"\n")
	noFile := write(t, "plugins.toml", "[[plugin]]\nname = \"x\"\nkind = \"sampler\"\nfile = \"x.wasm\"\nsha256 = \""+strings.Repeat("0", 64)+"\"\n")
	badKey := write(t, "plugins.toml", "[[plugin]]\nnam = \"x\"\n")
	notWasm := write(t, "x.wasm", "hello")
	m := []string{"run", "-m", storiesFile, "-p", "x", "--raw"}
	with := func(args ...string) []string { return append(append([]string{}, m...), args...) }
	for _, c := range []struct {
		args []string
		want string // a regular expression for standard error
	}{
		{[]string{"run", "-p", "x"}, `^forge: no model: name a GGUF file with -m \(see forge run --help\)\n$`},
		{[]string{"run", "-m", "nowhere.gguf", "-p", "x"}, `^forge: no model: stat nowhere.gguf: no such file or directory\n$`},
		{[]string{"run", "-m", notWasm, "-p", "x"}, `^forge: .*x\.wasm: .*GGUF.*\n$`},
		{[]string{"run", "-m", arch, "-p", "x", "--raw"}, `^forge: .*changed.gguf: no plugin serves the architecture "mamba9" \(there are gemma3, llama, .*\): add one of kind arch to plugins.toml\n$`},
		{[]string{"run", "-m", noArch, "-p", "x", "--raw"}, `metadata key general.architecture is missing`},
		{[]string{"run", "-m", noModel, "-p", "x", "--raw"}, `metadata key tokenizer.ggml.model is missing: the file has no tokenizer`},
		{[]string{"run", "-m", otherModel, "-p", "x", "--raw"}, `no plugin serves the tokenizer model "rwkv"`},
		{[]string{"run", "-m", noTokens, "-p", "x", "--raw"}, `metadata key tokenizer.ggml.tokens is missing or empty`},
		{[]string{"run", "-m", noLayers, "-p", "x", "--raw"}, `llama.block_count`},
		{[]string{"run", "-m", noTensor, "-p", "x", "--raw"}, `blk.2.ffn_up.weight`},
		{with("-c", "-5"), `context of -5 tokens is not possible`},
		{with("-t", "-1"), `-t -1: give a number of threads`},
		{with("-n", "-7"), `-n -7: give a number of tokens, or -1`},
		{with("--temp", "nan"), `temp`},
		{with("--temp", "-3"), `temp`},
		{with("--top-p", "7"), `top_p`},
		{with("--set", "temprature=1"), `temprature`},
		{with("--set", "x"), `write it as KEY=VALUE`},
		{with("--samplers", "top_k;gready"), `no plugin has a sampler "gready" \(there are dist, dry, greedy, .*, xtc\)`},
		{with("--samplers", "top_k"), `picks no token`},
		{with("--device", "cuda"), `there is no device "cuda": possible are auto, simd and scalar`},
		{with("-f", "x"), `give the prompt with -p or with -f, not both`},
		{with("--logprobs", "3"), `--logprobs takes a positive number and needs --json`},
		{with("--plugins", "nowhere.toml"), `the plugin set cannot be read: open nowhere.toml`},
		{with("--plugins", badPin), `sha256`},
		{with("--plugins", noFile), `x\.wasm`},
		{with("--plugins", badKey), `plugins.toml:\d+:.*nam`},
		{with("--plugin", notWasm), `it is not a WebAssembly module`},
		{[]string{"run", "-m", storiesFile, "-p", "x", "--chat-template", "chatlm"}, `--chat-template "chatlm": did you mean chatml\? forge ships chatglm4, chatml, command-r, .*, zephyr\n$`},
		{with("--chat-template", "chatml"), `--raw goes without a chat template: leave out one of the two`},
		{with("--system", "x"), `--system is for a chat template, and --raw goes without`},
		{[]string{"run", "-m", storiesFile, "-p", "x", "--chat-template", "chatml", "--chat-template-file", "x"}, `not both`},
		{[]string{"run", "-m", storiesFile, "-p", "x", "--chat-template-file", "nowhere.jinja"}, `--chat-template-file: open nowhere.jinja`},
		{[]string{"run", "-m", storiesFile, "-p", strings.Repeat("long ", 400), "--raw", "-c", "64"}, `the prompt is \d+ tokens long, the context holds 64: raise -c to at least \d+ or shorten the prompt`},
		{[]string{"run", "-m", storiesFile, "hello"}, `"hello" is not understood: forge run takes no argument there \(a prompt goes after -p, in quotes\)`},
		{[]string{"run", "--nonsense"}, `nonsense`},
		{[]string{"frobnicate"}, `there is no command "frobnicate"`},
		{[]string{"plugin", "inspect"}, `name one FILE.wasm`},
		{[]string{"plugin", "inspect", storiesFile}, `it is not a WebAssembly module`},
		{[]string{"plugin", "pin", noFile}, `plugin x: file x.wasm: .*no such file`},
		{[]string{"plugin", "stamp", "x.wasm", "--manifest", noFile}, `x.wasm: no such file`},
		{[]string{"bacth"}, `there is no command "bacth"; did you mean batch\?`},
		{[]string{"run", "--tmep", "1"}, `not defined: -tmep \(did you mean --temp\?`},
		{[]string{"detokenize", "-m", storiesFile, "12", "x"}, `"x" is not a token id`},
		{[]string{"detokenize", "-m", storiesFile, "512"}, `token id 512 is not in the vocabulary of 512 tokens`},
		{[]string{"inspect"}, `name one GGUF file: forge inspect FILE`},
		{[]string{"batch", "-m", storiesFile, "-i", "nowhere.jsonl", "-o", "-"}, `nowhere.jsonl: no such file`},
		{[]string{"bench", "-m", storiesFile, "-r", "0"}, `-r from 1 on`},
		{[]string{"bench", "-m", storiesFile, "-np", "0"}, `-np and -r from 1 on`},
		{[]string{"bench", "-m", storiesFile, "-ctk", "f32"}, `--cache-type-k "f32": possible are f16 and q8_0`},
		{[]string{"bench", "-m", storiesFile, "-ctv", "q4_0"}, `the simd device keeps keys and values in F16 or Q8_0, not in Q4_0`},
		{[]string{"bench", "-m", storiesFile, "-ctk", "q8_0"}, `a cache of Q8_0 cannot hold heads of 8 and 8 entries: they are no multiples of 32`},
		{[]string{"perplexity", "-m", storiesFile, "-f", write(t, "e.txt", "")}, `fewer than two tokens`},
	} {
		t.Run(strings.Join(c.args, " ")[:min(60, len(strings.Join(c.args, " ")))], func(t *testing.T) {
			o := forge(t, "", c.args...)
			if o.status != 1 || !regexp.MustCompile(c.want).MatchString(o.err) {
				t.Errorf("status %d, standard error\n%s\nwant status 1 and %s", o.status, o.err, c.want)
			}
			if o.out != "" {
				t.Errorf("standard output is not empty: %q", o.out)
			}
			if strings.Contains(o.err, "goroutine ") || strings.Count(strings.TrimSpace(o.err), "\n") > 0 {
				t.Errorf("more than one sentence:\n%s", o.err)
			}
		})
	}
}

// Ensure that an empty prompt without a BOS token to start from is refused with a sentence.
func TestErrors_EmptyPrompt(t *testing.T) {
	path := rewrite(t, map[string]any{"tokenizer.ggml.add_bos_token": false})
	o := forge(t, "", "run", "-m", path, "-p", "", "--raw")
	if o.status != 1 || !strings.Contains(o.err, "the prompt is empty") {
		t.Errorf("status %d: %s", o.status, o.err)
	}
}

// Ensure that flags may stand after arguments, values keep their commas, and standard output has the text alone.
func TestFlagsAfterArguments(t *testing.T) {
	o := forge(t, "", "detokenize", "403", "407", "-m", storiesFile).must(t)
	p := forge(t, "", "detokenize", "-m", storiesFile, "403", "407").must(t)
	if o.out != p.out || o.out == "" {
		t.Errorf("%q and %q", o.out, p.out)
	}
	o = forge(t, "", "run", "-m", storiesFile, "-p", "Once", "--raw", "-n", "60", "--temp", "0", "--stop", "girl, named", "--stop", "Lily").must(t)
	if !strings.HasSuffix(o.out, "girl named ") {
		t.Errorf("stopped at %q", o.out)
	}
}

// Ensure that --json has the promised keys, the ids spell the text, and a seed repeats a run.
func TestRunJSON(t *testing.T) {
	args := []string{"run", "-m", storiesFile, "-p", "Once upon", "--raw", "-n", "20", "--json", "--logprobs", "3", "--seed", "7"}
	o := forge(t, "", args...).must(t)
	var r struct {
		Text         string           `json:"text"`
		Tokens       []int            `json:"tokens"`
		PromptTokens []int            `json:"prompt_tokens"`
		FinishReason string           `json:"finish_reason"`
		Logprobs     [][][2]float64   `json:"logprobs"`
		Timings      map[string]any   `json:"timings"`
		Plugins      []map[string]any `json:"plugins"`
		Seed         uint64           `json:"seed"`
	}
	if err := json.Unmarshal([]byte(o.out), &r); err != nil {
		t.Fatalf("%v in %s", err, o.out)
	}
	if len(r.Tokens) != 20 || r.FinishReason != "length" || len(r.Logprobs) != 20 || len(r.Logprobs[0]) != 3 || r.Seed != 7 || len(r.Plugins) < 3 || len(r.PromptTokens) < 2 {
		t.Errorf("%+v", r)
	}
	ids := fmt.Sprint(r.PromptTokens[1:])
	ids = strings.Trim(ids, "[]") + " " + strings.Trim(fmt.Sprint(r.Tokens), "[]")
	whole := forge(t, "", append([]string{"detokenize", "-m", storiesFile}, strings.Fields(ids)...)...).must(t)
	if whole.out != "Once upon"+r.Text {
		t.Errorf("ids spell %q, text is %q", whole.out, r.Text)
	}
	again := forge(t, "", args...).must(t)
	if cutTimings(again.out) != cutTimings(o.out) {
		t.Errorf("the same seed gives\n%s and\n%s", o.out, again.out)
	}
}

func cutTimings(s string) string {
	return regexp.MustCompile(`"timings":\{[^}]*\}`).ReplaceAllString(s, "")
}

// Ensure that a batch answers good lines and bad ones, each with one line, and overwrites nothing.
func TestBatch(t *testing.T) {
	lines := []string{
		`{"custom_id":"a","method":"POST","url":"/v1/completions","body":{"prompt":"Once upon","max_tokens":8,"temperature":0}}`,
		`not json`,
		`{"custom_id":"c","method":"GET","url":"/v1/completions","body":{}}`,
		`{"custom_id":"d","method":"POST","url":"/v1/embeddings","body":{}}`,
		`{"custom_id":"e","method":"POST","url":"/v1/completions","body":{"prompt":"One day","max_tokens":8,"temperature":-4}}`,
		`{"custom_id":"f","method":"POST","url":"/v1/completions","body":{"prompt":"One day","max_tokens":8,"temperature":0,"logprobs":2}}`,
		``,
		`{"custom_id":"g","method":"POST","url":"/v1/chat/completions","body":{"messages":[]}}`,
	}
	in, out := write(t, "in.jsonl", strings.Join(lines, "\n")), filepath.Join(t.TempDir(), "out.jsonl")
	o := forge(t, "", "batch", "-m", storiesFile, "-i", in, "-o", out).must(t)
	if !strings.Contains(o.err, "answered 7, 5 of them with an error") {
		t.Errorf("standard error %q", o.err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	text := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		var a struct {
			CustomID string `json:"custom_id"`
			Response *struct {
				StatusCode int `json:"status_code"`
				Body       struct {
					Choices []struct{ Text string } `json:"choices"`
				} `json:"body"`
			} `json:"response"`
			Error *struct{ Code, Message string } `json:"error"`
		}
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		switch {
		case a.Error != nil:
			text[a.CustomID] += a.Error.Code
		case a.Response.StatusCode != 200:
			text[a.CustomID] += fmt.Sprint(a.Response.StatusCode)
		default:
			text[a.CustomID] += a.Response.Body.Choices[0].Text
		}
	}
	single := forge(t, "", "run", "-m", storiesFile, "-p", "Once upon", "--raw", "-n", "8", "--temp", "0").must(t)
	want := map[string]string{"": "invalid_json", "c": "invalid_method", "d": "invalid_url", "e": "400", "g": "400", "a": single.out, "f": text["f"]}
	for id, w := range want {
		if text[id] != w || w == "" {
			t.Errorf("%q got %q, want %q", id, text[id], w)
		}
	}
	if o := forge(t, "", "batch", "-m", storiesFile, "-i", in, "-o", out); o.status != 1 || !strings.Contains(o.err, "exists already") {
		t.Errorf("an existing file: status %d, %s", o.status, o.err)
	}
	if _, err := os.Stat("/dev/full"); err == nil {
		if o := forge(t, "", "batch", "-m", storiesFile, "-i", in, "-o", "/dev/full"); o.status != 1 || !strings.Contains(o.err, "no space left") {
			t.Errorf("a full disk: status %d, %s", o.status, o.err)
		}
	}
}

// Ensure that a plugin set is found by flag, environment and the user's configuration, and never in the working directory.
func TestPluginSet_Found(t *testing.T) {
	o := forge(t, "", "plugin", "list", "--json").must(t)
	if !strings.Contains(o.out, `"file":"default.toml"`) {
		t.Errorf("without anything: %s", o.out)
	}
	set := root("plugins.toml")
	if o := forge(t, "", "plugin", "list", "--json", "--plugins", set).must(t); !strings.Contains(o.out, `"file":"`+set) {
		t.Errorf("by flag: %s", o.out)
	}
	if o := forgeEnv(t, []string{"FORGE_PLUGINS=" + set}, "", "plugin", "list", "--json").must(t); !strings.Contains(o.out, `"file":"`+set) {
		t.Errorf("by environment: %s", o.out)
	}
	dir := t.TempDir()
	b, err := os.ReadFile(set)
	if err != nil {
		t.Fatal(err)
	}
	user := filepath.Join(dir, "forge", "plugins.toml")
	if err := os.MkdirAll(filepath.Dir(user), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(user, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if o := forgeEnv(t, []string{"XDG_CONFIG_HOME=" + dir}, "", "plugin", "list", "--json").must(t); !strings.Contains(o.out, `"file":"`+user) {
		t.Errorf("by configuration: %s", o.out)
	}
}

// Ensure that the root's plugins.toml is the shipped default, and docs/cli.md what the commands say.
func TestCommittedCopies(t *testing.T) {
	for _, c := range [][2]string{{"plugins.toml", "plugins/default.toml"}} {
		a, err := os.ReadFile(root(c[0]))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(root(c[1]))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s and %s differ: copy one over the other", c[0], c[1])
		}
	}
	doc, err := os.ReadFile(root("docs", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	if o := forge(t, "", "docs").must(t); o.out != string(doc) {
		t.Error("docs/cli.md is not what the commands say: make docs")
	}
}

// Ensure that an author's way works: stamp a module, look at it, pin it, run it from the set.
func TestPluginCommands(t *testing.T) {
	dir := t.TempDir()
	wasm, err := os.ReadFile(root("examples", "sampler-c", "margin.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	module, manifest, set := filepath.Join(dir, "mine.wasm"), filepath.Join(dir, "mine.toml"), filepath.Join(dir, "plugins.toml")
	for file, data := range map[string]string{
		module:   string(wasm),
		manifest: "name = \"mine\"\nversion = \"2\"\nkind = \"sampler\"\nabi = \"1.0\"\n[[config]]\nname = \"margin\"\ntype = \"f32\"\ndefault = 0\n[[entries]]\nname = \"margin\"\n",
		set:      strings.Replace(string(plugins.Default()), "[chain]", "# mine\n[[plugin]]\nname = \"mine\"\nkind = \"sampler\"\nfile = \"mine.wasm\"\n[chain]", 1),
	} {
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	forge(t, "", "plugin", "stamp", module, "--manifest", manifest).must(t)
	if o := forge(t, "", "plugin", "inspect", module).must(t); !strings.Contains(o.out, "mine 2, sampler for ABI 1.0") {
		t.Error(o.out)
	}
	run := []string{"run", "-m", storiesFile, "-p", "Once", "--raw", "-n", "8", "--plugins", set, "--samplers", "margin;dist"}
	if o := forge(t, "", run...); o.status != 1 || !strings.Contains(o.err, "sha256 is missing") {
		t.Errorf("an unpinned module runs: %s", o.err)
	}
	if o := forge(t, "", "plugin", "pin", set).must(t); !strings.Contains(o.out, "mine.wasm now has sha256") {
		t.Error(o.out)
	}
	greedy := forge(t, "", "run", "-m", storiesFile, "-p", "Once", "--raw", "-n", "8", "--temp", "0").must(t)
	if o := forge(t, "", run...).must(t); o.out != greedy.out {
		t.Errorf("a margin of 0 gives %q, greedy %q", o.out, greedy.out)
	}
}
