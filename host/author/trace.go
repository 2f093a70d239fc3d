package author

import (
	"cmp"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"forge/host/plugin"
)

// Candidate is a token that is still in the table, with its probability among those that are.
type Candidate struct {
	ID    uint32
	Text  string
	Logit float32
	P     float64
}

// View is a table of candidates as an entry left it.
type View struct {
	Plugin, Entry string // empty: the model's row
	Skipped       bool
	N             int         // candidates
	Top           []Candidate // the best, best first
	Fuel          int64
}

// Step is one token: the model's row, what each entry made of it, and what was picked.
type Step struct {
	Views  []View
	Picked int32 // plugin.Stop: a plugin ended the sequence
	Text   string
}

// Trace records what a chain does. Give its methods to a request, or to a chain, and read Steps at the end.
type Trace struct {
	Steps []Step
	k     int
	text  func(id uint32) string
	now   *Step
}

// NewTrace keeps the k best candidates of each table; text gives a token's text.
func NewTrace(k int, text func(id uint32) string) *Trace { return &Trace{k: k, text: text} }

// Row begins a step with the model's logits.
func (t *Trace) Row(logits []float32) {
	t.Steps = append(t.Steps, Step{Picked: plugin.Stop})
	t.now = &t.Steps[len(t.Steps)-1]
	t.now.Views = append(t.now.Views, View{N: len(logits), Top: t.best(nil, logits)})
}

// Observe adds what an entry left.
func (t *Trace) Observe(o plugin.Observation) {
	if t.now == nil {
		return
	}
	v := View{Plugin: o.Plugin, Entry: o.Entry, Skipped: o.Skipped, N: len(o.Logits), Fuel: o.Fuel}
	if !o.Skipped {
		v.Top = t.best(o.IDs, o.Logits)
	}
	t.now.Views = append(t.now.Views, v)
	if o.Picked >= 0 {
		t.now.Picked, t.now.Text = o.Picked, t.text(uint32(o.Picked))
	}
}

// best gives the k likeliest candidates.
func (t *Trace) best(ids []uint32, logits []float32) []Candidate {
	top := make([]Candidate, 0, t.k+1)
	order := func(a, b Candidate) int { return cmp.Or(cmp.Compare(b.Logit, a.Logit), cmp.Compare(a.ID, b.ID)) }
	most := math.Inf(-1)
	for i, l := range logits {
		most = max(most, float64(l))
		c := Candidate{ID: uint32(i), Logit: l}
		if ids != nil {
			c.ID = ids[i]
		}
		if len(top) == t.k && order(c, top[t.k-1]) >= 0 {
			continue
		}
		at, _ := slices.BinarySearchFunc(top, c, order)
		top = slices.Insert(top, at, c)
		top = top[:min(len(top), t.k)]
	}
	sum := 0.0
	for _, l := range logits {
		sum += math.Exp(float64(l) - most)
	}
	for i := range top {
		top[i].P = math.Exp(float64(top[i].Logit)-most) / sum
		top[i].Text = t.text(top[i].ID)
	}
	return top
}

// WriteText prints the steps, one entry a line.
func (t *Trace) WriteText(w io.Writer) error {
	var b strings.Builder
	for i, s := range t.Steps {
		fmt.Fprintf(&b, "token %d: %s\n", i+1, s.picked())
		for _, v := range s.Views {
			fmt.Fprintf(&b, "  %-14s %7d ", v.Name(), v.N)
			if v.Skipped {
				b.WriteString(" nothing to do")
			}
			for _, c := range v.Top {
				fmt.Fprintf(&b, " %s %.1f%%", strconv.Quote(c.Text), 100*c.P)
			}
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Step) picked() string {
	if s.Picked == plugin.Stop {
		return "the sequence ends"
	}
	return fmt.Sprintf("%s (%d)", strconv.Quote(s.Text), s.Picked)
}

// Name is the entry's name, or model for the row that it began with.
func (v View) Name() string {
	if v.Entry == "" {
		return "model"
	}
	return v.Entry
}

// WriteHTML writes the steps as one page that needs nothing else.
func (t *Trace) WriteHTML(w io.Writer, title string) error {
	return page.Execute(w, map[string]any{"Title": title, "Steps": t.Steps})
}

var page = template.Must(template.New("trace").Funcs(template.FuncMap{
	"percent": func(p float64) string { return fmt.Sprintf("%.1f", 100*p) },
	"quote":   strconv.Quote,
	"isStop":  func(id int32) bool { return id == plugin.Stop },
	"is":      func(id uint32, picked int32) bool { return picked >= 0 && id == uint32(picked) },
}).Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Title}}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1c2430; background: #fff }
summary { cursor: pointer; padding: .2rem 0 } summary code { background: #eef1f6; padding: .1rem .4rem; border-radius: .3rem }
.views { display: flex; flex-wrap: wrap; gap: 1rem; padding: .5rem 0 1.5rem 1rem } .view { min-width: 12rem }
h2 { font-size: 1rem; margin: 0 } .n { color: #667 } .off { opacity: .45 }
.c { position: relative; padding: 0 .3rem; white-space: pre; font-family: ui-monospace, monospace }
.c i { position: absolute; inset: 0 auto 0 0; background: #cfe0ff; z-index: -1 } .c.picked { font-weight: bold } .c.picked i { background: #b8ecc4 }
@media (prefers-color-scheme: dark) { body { color: #dde; background: #14181f } summary code { background: #263040 } .c i { background: #2a4370 } .c.picked i { background: #22603a } }
</style></head><body><h1>{{.Title}}</h1>
<p>Each token with the candidates that the model gave and what every plugin made of them.</p>
{{range $i, $s := .Steps}}<details{{if lt $i 3}} open{{end}}><summary>{{if isStop $s.Picked}}the sequence ends{{else}}<code>{{quote $s.Text}}</code>{{end}}</summary><div class="views">
{{range .Views}}<div class="view{{if .Skipped}} off{{end}}"><h2>{{.Name}}</h2><div class="n">{{if .Skipped}}nothing to do{{else}}{{.N}} candidates{{end}}</div>
{{range .Top}}<div class="c{{if is .ID $s.Picked}} picked{{end}}"><i style="width:{{percent .P}}%"></i>{{quote .Text}} {{percent .P}}%</div>
{{end}}</div>
{{end}}</div></details>
{{end}}</body></html>
`))
