package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forge/host/plugin"
)

// dialogues is testdata/dialogues.json.
type dialogues struct {
	BOS, EOS  string
	Now       int64
	Dialogues []dialogue
}

// A dialogue is the variables of a template, as JSON.
type dialogue struct {
	Kind, Name string
	Input      json.RawMessage
}

// exceptions are the renderings that may differ from Jinja2's, "TEMPLATE KIND/NAME", each with its reason.
var exceptions = map[string]string{}

// A tally counts, for each kind of dialogue, the templates that differ.
type tally map[string]map[string]bool

// add notes that a rendering differs, which is a failure unless it is an exception.
func (d tally) add(t *testing.T, template, kind, name, how string) {
	if reason, ok := exceptions[template+" "+kind+"/"+name]; ok {
		t.Logf("%s, %s/%s differs: %s", template, kind, name, reason)
	} else {
		t.Errorf("%s, %s/%s: %s", template, kind, name, how)
	}
	if d[kind] == nil {
		d[kind] = map[string]bool{}
	}
	d[kind][template] = true
}

// check holds the exceptions to one template for each kind of dialogue.
func (d tally) check(t *testing.T) {
	for kind, templates := range d {
		if len(templates) > 1 {
			t.Errorf("%d templates differ on dialogues of the kind %s, one may", len(templates), kind)
		}
	}
}

// sharedTemplates reads the folder of chat templates that lies beside the tree. Without it the test is skipped, unless
// FORGE_REQUIRE_SHARED=1.
func sharedTemplates(t *testing.T) map[string]string {
	t.Helper()
	folder := filepath.Join("..", "..", "..", "..", "shared", "chat-templates")
	found, err := filepath.Glob(filepath.Join(folder, "*.jinja"))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		if os.Getenv("FORGE_REQUIRE_SHARED") == "1" {
			t.Fatalf("%s has no templates, and FORGE_REQUIRE_SHARED=1", folder)
		}
		t.Skipf("%s has no templates, so the comparison is skipped", folder)
	}
	texts := map[string]string{}
	for _, path := range found {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(path)] = string(b)
	}
	return texts
}

// renderAll renders all dialogues with one template, as a program that keeps running would. A template that does not
// compile refuses them all.
func renderAll(m *plugin.Module, text string, talk *dialogues) (prompts []string, errs []error) {
	n := len(talk.Dialogues)
	prompts, errs = make([]string, n), make([]error, n)
	tmpl, err := m.NewTemplate(ctx, text, talk.BOS, talk.EOS)
	if err == nil {
		defer tmpl.Close()
	}
	for i, d := range talk.Dialogues {
		if errs[i] = err; err == nil {
			prompts[i], errs[i] = tmpl.Render(ctx, d.Input, time.Unix(talk.Now, 0))
		}
	}
	return prompts, errs
}

// Ensure that the chat templates of many models give the prompts that Jinja2 was recorded to give, and are refused where
// it refuses.
func TestSharedTemplates(t *testing.T) {
	var file struct {
		Templates map[string]struct {
			SHA256  string
			Prompts map[string]string
		}
	}
	read(t, "shared.json", &file)
	var talk dialogues
	read(t, "dialogues.json", &talk)
	texts := sharedTemplates(t)
	m := load(t, plugin.RuntimeOptions{})
	differ, equal, refusals := tally{}, 0, 0
	for name, text := range texts {
		want, ok := file.Templates[name]
		if !ok || want.SHA256 != digest(text) {
			t.Errorf("%s is not the template that was recorded: run testdata/shared.py", name)
			continue
		}
		prompts, errs := renderAll(m, text, &talk)
		for i, d := range talk.Dialogues {
			prompt, ok := want.Prompts[d.Kind+"/"+d.Name]
			if !ok {
				t.Fatalf("%s has no record of %s/%s: run testdata/shared.py", name, d.Kind, d.Name)
			}
			have := fmt.Sprintf("%s %d", digest(prompts[i]), len(prompts[i]))
			switch refuses := strings.HasPrefix(prompt, "refused "); {
			case refuses && refused(errs[i]):
				refusals++
			case !refuses && errs[i] == nil && have == prompt:
				equal++
			default:
				differ.add(t, name, d.Kind, d.Name, fmt.Sprintf("Jinja2 has %s, the guest %s, %v", prompt, have, errs[i]))
			}
		}
	}
	differ.check(t)
	t.Logf("%d templates: %d prompts equal Jinja2's, %d refused by both", len(texts), equal, refusals)
}
