package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// syllables is a vocabulary of control tokens, all bytes, and all strings of one to three of a few letters, in the form of
// a tokenizer model: the longer, the better its score; merges join a letter to what stands before it.
func syllables(model string) *Vocab {
	texts := []string{"<unk>", "<s>", "</s>"}
	types := []int32{2, 3, 3}
	if model == "llama" {
		for b := range 256 {
			texts, types = append(texts, fmt.Sprintf("<0x%02X>", b)), append(types, 6)
		}
	} else {
		for b := range 256 { // the byte alphabet of GPT-2: what is printable stands for itself, the rest from U+0100 on
			r := rune(b)
			if b < '!' || b > '~' && b < 0xa1 || b == 0xad {
				r = rune(0x100 + b)
			}
			if b > '~' && b < 0xa1 {
				r = rune(0x100 + 33 + b - 0x7f)
			}
			texts, types = append(texts, string(r)), append(types, 1)
		}
	}
	const letters = "aehinorst"
	level := []string{""}
	var merges []string
	for range 3 {
		var next []string
		for _, s := range level {
			for _, c := range letters {
				next = append(next, s+string(c))
				if s != "" {
					merges = append(merges, s+" "+string(c))
				}
			}
		}
		level = next
		for _, s := range level {
			if !slices.Contains(texts, s) {
				texts, types = append(texts, s), append(types, 1)
			}
		}
	}
	scores := make([]byte, 4*len(texts))
	for i, s := range texts {
		putU32(scores[4*i:], math.Float32bits(float32(len(s))-float32(i)/1e5))
	}
	kinds := make([]byte, 4*len(types))
	for i, t := range types {
		putU32(kinds[4*i:], uint32(t))
	}
	seq := func(list []string) func(func([]byte) bool) {
		return func(yield func([]byte) bool) {
			for _, s := range list {
				if !yield([]byte(s)) {
					return
				}
			}
		}
	}
	v := &Vocab{N: len(texts), Texts: seq(texts), Types: kinds, Model: model, BOS: 1, EOS: 2, UNK: 0, SEP: -1, PAD: -1, AddSpacePrefix: 1, EOG: []uint32{2}}
	if model == "llama" {
		v.Scores = scores
	} else {
		v.Pre, v.Merges, v.NMerges = "gpt-2", seq(merges), len(merges)
	}
	v.Pieces = seq(texts)
	return v
}

// chatTemplate is of the kind that models have.
const chatTemplate = "{{ bos_token }}{% for m in messages %}{{ m.role | upper }}: {{ m.content | trim }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"

// TestPausesShipped: a prompt of 10 MB and the compile of a large schema hold up nobody for longer than anything else.
func TestPausesShipped(t *testing.T) {
	if !canTimeThread || raced {
		t.Skip("the time of a thread cannot be told, or says nothing")
	}
	r := newRuntime(t, RuntimeOptions{})
	_, mods := loadShipped(t, r)
	module := func(name string) *Module {
		i := slices.IndexFunc(mods, func(m *Module) bool { return m.Name() == name })
		if i < 0 {
			t.Skip("no plugin ", name)
		}
		return mods[i]
	}
	size := 10 << 20
	if testing.Short() {
		size = 1 << 20
	}
	text := []byte(strings.Repeat("the rain in these states is not a honest answer, said Aristotle; ", size/64))
	wall := []byte(strings.Repeat("astonishneritaherosant", size/22)) // one word
	var schema strings.Builder
	schema.WriteString(`{"type":"object","properties":{`)
	for i := range 1000 {
		fmt.Fprintf(&schema, `"field_%d":{"type":"array","items":{"enum":["one_%d","two_%d",3]}},`, i, i, i)
	}
	schema.WriteString(`"last":{"type":"string","maxLength":100}}}`)

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var longest time.Duration
	var last time.Duration
	refills := 0
	r.onRefill = func() {
		now := threadTime()
		longest, last = max(longest, now-last), now
		refills++
	}
	measure := func(what string, f func() error) {
		t.Helper()
		var wait, used time.Duration
		var err error
		for range attempts {
			longest, refills = 0, 0
			start := threadTime()
			last = start
			wait = delay(func() { err = f() })
			if used = threadTime() - start; wait <= mayWait {
				break
			}
		}
		t.Logf("%-30s %8v, %6d refills, at most %8v between two, another goroutine waits %8v; %v", what, used.Round(time.Millisecond), refills, longest, wait, err)
		if wait > mayWait || longest > mayWait/2 {
			t.Errorf("%s: another goroutine waits %v, a guest runs for %v without a safe point", what, wait, longest)
		}
	}
	for name, model := range map[string]string{"spm": "llama", "bpe": "gpt2"} {
		tok, err := module(name).NewTokenizer(ctx, syllables(model))
		if err != nil {
			t.Fatal(err)
		}
		var ids []uint32
		measure(name+", 10 MB of text", func() (err error) {
			ids, err = tok.Encode(ctx, nil, text, false)
			return err
		})
		if len(ids) < len(text)/10 {
			t.Errorf("%s: %d ids", name, len(ids))
		}
		soon, cancel := context.WithTimeout(ctx, 5*time.Second)
		measure(name+", a word of 10 MB", func() (err error) {
			_, err = tok.Encode(soon, ids[:0], wall, false)
			return err
		})
		cancel()
		tok.Close()
	}
	tmpl, err := module("template").NewTemplate(ctx, chatTemplate, "<s>", "</s>")
	if err != nil {
		t.Fatal(err)
	}
	defer tmpl.Close()
	messages, err := json.Marshal(map[string]any{"add_generation_prompt": true, "messages": []map[string]string{
		{"role": "system", "content": "Be brief."}, {"role": "user", "content": string(text)}}})
	if err != nil {
		t.Fatal(err)
	}
	measure("template, 10 MB of text", func() error {
		prompt, err := tmpl.Render(ctx, messages, time.Unix(0, 0))
		if err == nil && prompt != "<s>SYSTEM: Be brief.</s>USER: "+strings.TrimSpace(string(text))+"</s>ASSISTANT:" {
			t.Errorf("%d bytes of prompt for %d of text", len(prompt), len(text))
		}
		return err
	})
	c, err := module("constraint").NewConstraint(ctx, syllables("llama"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	measure("a schema of 1,000 fields", func() error {
		return c.Begin(ctx, 1, settings(t, c, map[string]any{"json_schema": schema.String()}))
	})
}
