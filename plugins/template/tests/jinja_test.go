package tests

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"forge/host/plugin"
)

// jinja is Python's Jinja2 at work: testdata/reference.py, asked line by line.
type jinja struct {
	in  io.Writer
	out *bufio.Reader
}

const jinjaVersion = "3.1.6" // what the records were made with

// newJinja starts Jinja2, from an environment of its own where Python has not that version. The test is skipped unless
// FORGE_TEST_ALL is set.
func newJinja(t *testing.T) *jinja {
	t.Helper()
	if os.Getenv("FORGE_TEST_ALL") == "" {
		t.Skip("the comparison with a live Jinja2 is part of make test-all (FORGE_TEST_ALL=1)")
	}
	cmd := exec.Command(python(t), filepath.Join("..", "testdata", "reference.py"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return &jinja{in, bufio.NewReader(out)}
}

// python gives an interpreter that has Jinja2.
func python(t *testing.T) string {
	t.Helper()
	const ask = "import jinja2; print(jinja2.__version__)"
	if out, err := exec.Command("python3", "-c", ask).Output(); err == nil && strings.TrimSpace(string(out)) == jinjaVersion {
		return "python3"
	}
	folder := t.TempDir()
	if out, err := exec.Command("python3", "-m", "venv", folder).CombinedOutput(); err != nil {
		t.Fatalf("python3 -m venv: %v\n%s", err, out)
	}
	bin := filepath.Join(folder, "bin", "python")
	if runtime.GOOS == "windows" {
		bin = filepath.Join(folder, "Scripts", "python.exe")
	}
	if out, err := exec.Command(bin, "-m", "pip", "install", "--quiet", "jinja2=="+jinjaVersion).CombinedOutput(); err != nil {
		t.Fatalf("pip install jinja2: %v\n%s", err, out)
	}
	return bin
}

// render gives Jinja2's prompt, or why it refuses.
func (j *jinja) render(t *testing.T, q *request) (prompt, refusal string) {
	t.Helper()
	line, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.in.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	answer, err := j.out.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var a struct{ Prompt, Error string }
	if err := json.Unmarshal(answer, &a); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	return a.Prompt, a.Error
}

// firstDifference shows where two texts part.
func firstDifference(a, b string) (string, string) {
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	from := max(0, at-40)
	return a[from:min(len(a), at+80)], b[from:min(len(b), at+80)]
}

// compareLive has the guest and Jinja2 render the dialogues with all shared templates.
func compareLive(t *testing.T, talk *dialogues) {
	j, m := newJinja(t), load(t, plugin.RuntimeOptions{})
	differ, equal, refusals := tally{}, 0, 0
	for name, text := range sharedTemplates(t) {
		prompts, errs := renderAll(m, text, talk)
		for i, d := range talk.Dialogues {
			want, refusal := j.render(t, &request{Template: text, BOS: talk.BOS, EOS: talk.EOS, Input: d.Input})
			fail := func(format string, args ...any) {
				differ.add(t, name, d.Kind, d.Name, fmt.Sprintf(format, args...)+"\n"+string(d.Input))
			}
			switch got, err := prompts[i], errs[i]; {
			case refusal != "" && refused(err):
				refusals++
			case refusal != "":
				fail("Jinja2 refuses (%s), the guest gives %q, %v", refusal, got, err)
			case err != nil:
				fail("Jinja2 gives a prompt, the guest: %v", err)
			case got != want:
				ours, theirs := firstDifference(got, want)
				fail("Jinja2 gives\n%q, the guest\n%q", theirs, ours)
			default:
				equal++
			}
		}
	}
	differ.check(t)
	t.Logf("%d prompts equal Jinja2's, %d refused by both", equal, refusals)
}

// Ensure that the records are what Jinja2 says today.
func TestLive_SharedTemplates(t *testing.T) {
	var talk dialogues
	read(t, "dialogues.json", &talk)
	compareLive(t, &talk)
}

// Ensure that the recorded snippets are what Jinja2 says today.
func TestLive_Language(t *testing.T) {
	j := newJinja(t)
	var file recorded
	read(t, "language.json", &file)
	for _, c := range file.Cases {
		got, refusal := j.render(t, &request{Template: c.Template, BOS: file.BOS, EOS: file.EOS, Input: json.RawMessage(file.Input)})
		if (c.Prompt == nil) != (refusal != "") || c.Prompt != nil && got != *c.Prompt {
			t.Errorf("%q gives %q, %s; recorded is %v, %s: run testdata/vectors.py", c.Template, got, refusal, c.Prompt, c.Refused)
		}
	}
}
