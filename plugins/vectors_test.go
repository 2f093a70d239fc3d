package plugins_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"forge/abi"
)

// Vectors are small tables before and after one sampler, for whoever writes a sampler in another language. The results
// come from the formulas in float64 (wanted, below), not from the guest; go test -update writes the files anew.
type vector struct {
	Name    string             `json:"name"`
	Params  map[string]float64 `json:"params,omitempty"`
	Strings map[string]string  `json:"strings,omitempty"` // settings of the type string
	Words   []string           `json:"words,omitempty"`   // what the tokens stand for, where a sampler looks at it
	EOG     []uint32           `json:"eog,omitempty"`     // tokens that end a generation
	History []uint32           `json:"history,omitempty"`
	NPrompt int                `json:"n_prompt,omitempty"`
	Seed    uint64             `json:"seed,omitempty"`
	Draw    uint64             `json:"draw,omitempty"`
	In      vectorTable        `json:"in"`
	Out     vectorTable        `json:"out"`
}

// vectorTable is a table: ids null is the whole row, logits are numbers or "inf", "-inf", "nan".
type vectorTable struct {
	Logits   []number `json:"logits"`
	IDs      []uint32 `json:"ids"`
	Sorted   bool     `json:"sorted"`
	Selected int32    `json:"selected"`
	Stop     bool     `json:"stop,omitempty"`
	Draw     uint64   `json:"draw,omitempty"`
}

type number float32

func (n number) MarshalJSON() ([]byte, error) {
	switch v := float64(n); {
	case v != v:
		return []byte(`"nan"`), nil
	case math.IsInf(v, 1):
		return []byte(`"inf"`), nil
	case math.IsInf(v, -1):
		return []byte(`"-inf"`), nil
	default:
		return strconv.AppendFloat(nil, v, 'g', -1, 32), nil
	}
}

func (n *number) UnmarshalJSON(b []byte) error {
	s := string(b)
	if len(b) > 1 && b[0] == '"' {
		s = s[1 : len(s)-1]
	}
	v, err := strconv.ParseFloat(s, 32)
	*n = number(v)
	return err
}

func (v vector) rowCase() rowCase {
	rc := rowCase{seed: v.Seed, draw: v.Draw, history: v.History, nPrompt: v.NPrompt, params: params(), bias: v.Strings["logit_bias"],
		breakers: v.Strings["dry_sequence_breakers"]}
	for name, x := range v.Params {
		rc.params[slices.Index(settingNames[:], name)] = x
	}
	return rc
}

// open gives the sampler's module for a vocabulary of n tokens.
func (v vector) open(t *testing.T, sampler string, n int) *chain {
	w := &words{texts: slices.Clone(v.Words), eog: v.EOG}
	for len(w.texts) < n {
		w.texts = append(w.texts, "")
	}
	switch sampler {
	case "ignore_eos", "min_tokens", "dry", "infill":
		return openWords(t, w)
	case "mirostat":
		c := &miroChain{chain: openModule(t, "mirostat", n)}
		c.seqFrame, _ = c.Frame(abi.SeqSize)
		if err := c.begin(0); err != nil {
			t.Fatal(err)
		}
		return c.chain
	}
	return openChain(t, n)
}

// pick keeps the given candidates in the given order.
func (t table) pick(order []int, sorted bool) table {
	out := table{ids: []uint32{}, sorted: sorted, selected: -1}
	for _, i := range order {
		out.logits = append(out.logits, float32(value(t.logits[i])))
		out.ids = append(out.ids, t.id(i))
	}
	return out
}

// wanted is what a sampler makes of a table that has a candidate above -inf.
func wanted(name string, in table, rc rowCase, w *words) table {
	p, order, out := softmax(in), ranked(in), in
	out.selected, out.draw = -1, rc.draw
	kept := len(in.logits)
	if formula := formulas[name]; formula != nil {
		in.selected, in.draw = -1, rc.draw
		return formula(in, rc, w)
	}
	switch name {
	case "greedy":
		out.selected = int32(order[0])
		return out
	case "penalties":
		count := map[uint32]float64{}
		recent := rc.history
		if n := rc.params[repeatLastN]; n >= 0 && int(n) < len(recent) {
			recent = recent[len(recent)-int(n):]
		}
		for _, id := range recent {
			count[id]++
		}
		out.logits, out.sorted = slices.Clone(in.logits), false
		for i, x := range in.logits {
			if n := count[in.id(i)]; n > 0 {
				y := value(x) / rc.params[repeatPenalty]
				if x <= 0 {
					y = value(x) * rc.params[repeatPenalty]
				}
				out.logits[i] = float32(y - n*rc.params[frequencyPenalty] - rc.params[presencePenalty])
			}
		}
		return out
	case "top_k":
		if k := int(rc.params[topK]); k > 0 && k < kept {
			return in.pick(order[:k], true)
		}
		return out
	case "top_p":
		if rc.params[topP] >= 1 {
			return out
		}
		sum := 0.0
		for j, i := range order {
			if sum += p[i]; sum >= rc.params[topP] {
				kept = j + 1
				break
			}
		}
		return in.pick(order[:kept], true)
	case "min_p":
		var keep []int
		for i, x := range in.logits {
			if value(x) >= value(in.logits[order[0]])+math.Log(rc.params[minP]) {
				keep = append(keep, i)
			}
		}
		if len(keep) == kept {
			return out
		}
		return in.pick(keep, in.sorted)
	case "temperature":
		at := rc.params[temp]
		if spread := rc.params[dynatempRange]; spread > 0 {
			entropy := 0.0
			for _, x := range p {
				if x > 0 {
					entropy -= x * math.Log(x)
				}
			}
			low := max(0, at-spread)
			at = low + (at+spread-low)*math.Pow(entropy/math.Log(float64(kept)), rc.params[dynatempExponent])
		}
		if at <= 0 {
			return in.pick(order[:1], true)
		}
		out.logits = slices.Clone(in.logits)
		for i, x := range in.logits {
			out.logits[i] = float32(value(x)) / float32(at)
		}
		return out
	case "dist":
		sum := 0.0
		for i := range p {
			if sum += p[i]; sum > uniform(rc.seed, rc.draw) {
				out.selected, out.draw = int32(i), rc.draw+1
				return out
			}
		}
	}
	panic(name)
}

func vectorCases() map[string][]vector {
	row := []number{1.5, -0.25, 3, 0.125, 3, -2, 2.75, number(math.Inf(-1)), 0, 1.5}
	special := []number{number(math.NaN()), 2, number(math.Inf(-1)), 2, 1, number(math.NaN())}
	whole := func(x []number) vectorTable { return vectorTable{Logits: x, Selected: -1} }
	narrow := vectorTable{Logits: []number{0.5, 2, -1, 2, 1.25}, IDs: []uint32{9, 4, 0, 2, 7}, Selected: -1}
	sorted := vectorTable{Logits: []number{4, 3, 3, 1, -1}, IDs: []uint32{5, 1, 8, 0, 3}, Sorted: true, Selected: -1}
	tables := []struct {
		name string
		t    vectorTable
	}{{"whole row", whole(row)}, {"nan and -inf", whole(special)}, {"narrowed", narrow}, {"sorted", sorted}}
	settings := map[string][]map[string]float64{
		"greedy": {nil},
		"penalties": {{"repeat_penalty": 1.3}, {"repeat_penalty": 1.3, "repeat_last_n": 3}, {"repeat_penalty": 1.1, "repeat_last_n": -1, "frequency_penalty": 0.25, "presence_penalty": 0.5},
			{"frequency_penalty": -0.5}},
		"top_k":       {{"top_k": 1}, {"top_k": 3}, {"top_k": 0}, {"top_k": 40}},
		"top_p":       {{"top_p": 0}, {"top_p": 0.5}, {"top_p": 0.9}, {"top_p": 1}},
		"min_p":       {{"min_p": 0.05}, {"min_p": 0.4}, {"min_p": 1}},
		"temperature": {{"temp": 0.5}, {"temp": 2}, {"temp": 0}, {"temp": 1, "dynatemp_range": 0.5}, {"temp": 0.5, "dynatemp_range": 1, "dynatemp_exponent": 2}},
		"dist":        {nil},
		"typ_p":       {{"typical_p": 0}, {"typical_p": 0.3}, {"typical_p": 0.8}, {"typical_p": 1}},
		"top_n_sigma": {{"top_n_sigma": 0.5}, {"top_n_sigma": 1}, {"top_n_sigma": 3}, {"top_n_sigma": -1}},
		"xtc":         {{"xtc_probability": 0.5}, {"xtc_probability": 1, "xtc_threshold": 0.05}, {"xtc_probability": 0}},
		"logit_bias":  {nil},
		"ignore_eos":  {{"ignore_eos": 1}, {"ignore_eos": 0}},
		"min_tokens":  {{"min_tokens": 0}, {"min_tokens": 4}, {"min_tokens": 5}},
		"dry":         {{"dry_multiplier": 0.8}, {"dry_multiplier": 1, "dry_base": 2, "dry_allowed_length": 1, "dry_penalty_last_n": 6}, {"dry_multiplier": 0}},
		"infill":      {nil},
		"mirostat":    {{"mirostat": 2, "mirostat_tau": 1}, {"mirostat": 1, "mirostat_tau": 1}, {"mirostat": 2, "temp": 0.5}},
	}
	cases := map[string][]vector{}
	for name, list := range settings {
		for _, t := range tables {
			for _, s := range list {
				v := vector{Name: t.name, Params: s, In: t.t}
				switch name {
				case "penalties":
					v.History = []uint32{2, 9, 9, 5, 0, 4, 4, 2, 99}
				case "ignore_eos":
					v.EOG = []uint32{4, 0}
				case "min_tokens":
					v.EOG, v.History, v.NPrompt = []uint32{4, 0}, []uint32{1, 2, 3, 4, 5, 6}, 2
				case "infill":
					if t.name == "nan and -inf" {
						continue // it has six tokens
					}
					for _, eog := range [][]uint32{{3, 6}, {7}, {2}} {
						v.Words, v.EOG = []string{"a", "ab", "b", "bc", "bcd", "c", "d", "e", "abc", ""}, eog
						cases[name] = append(cases[name], v)
					}
					continue
				case "dry":
					if t.name == "nan and -inf" {
						continue // it has six tokens
					}
					v.Words = []string{"a", "b", "c", "d.", ":", "(", "\n", "g", "h", "i"}
					v.History = []uint32{0, 1, 2, 7, 4, 0, 1, 2, 8, 0, 1, 2}
					for _, breakers := range []string{"", "\\n,:", "h"} {
						v.Strings = map[string]string{"dry_sequence_breakers": breakers}
						cases[name] = append(cases[name], v)
					}
					continue
				case "logit_bias":
					for _, bias := range []string{"", "2+1,4-0.5", "0-inf,7+1e1,0+3"} {
						if t.name != "nan and -inf" || bias == "" {
							v.Strings = map[string]string{"logit_bias": bias}
							cases[name] = append(cases[name], v)
						}
					}
					continue
				case "dist", "xtc", "mirostat":
					for seed := range uint64(4) {
						v.Seed, v.Draw = seed*0x9e3779b97f4a7c15, seed*5
						cases[name] = append(cases[name], v)
					}
					continue
				}
				cases[name] = append(cases[name], v)
			}
		}
	}
	return cases
}

func (v vectorTable) table() table {
	t := table{ids: v.IDs, sorted: v.Sorted, selected: v.Selected, stop: v.Stop, draw: v.Draw}
	for _, x := range v.Logits {
		t.logits = append(t.logits, float32(x))
	}
	return t
}

func vectorOf(t table) vectorTable {
	v := vectorTable{IDs: t.ids, Sorted: t.sorted, Selected: t.selected, Stop: t.stop, Draw: t.draw}
	for _, x := range t.logits {
		v.Logits = append(v.Logits, number(x))
	}
	return v
}

// Ensure that each sampler gives the recorded tables, bit for bit.
func TestVectors(t *testing.T) {
	for name, cases := range vectorCases() {
		t.Run(name, func(t *testing.T) {
			file := "testdata/sampler/" + name + ".json"
			if *update {
				for i, v := range cases {
					cases[i].Out = vectorOf(wanted(name, v.In.table(), v.rowCase(), &words{texts: v.Words, eog: v.EOG}))
				}
				var lines []string
				for _, v := range cases {
					b, err := json.Marshal(v)
					if err != nil {
						t.Fatal(err)
					}
					lines = append(lines, string(b))
				}
				if err := os.WriteFile(file, []byte("[\n"+strings.Join(lines, ",\n")+"\n]\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var vectors []vector
			if err := json.Unmarshal(b, &vectors); err != nil || len(vectors) != len(cases) {
				t.Fatalf("%s: %d vectors, want %d; %v", file, len(vectors), len(cases), err)
			}
			var c *chain
			var last vector
			for _, v := range vectors {
				in := v.In.table()
				n := vocabOf(in)
				if c == nil || int(c.nVocab) != n || !slices.Equal(v.Words, last.Words) || !slices.Equal(v.EOG, last.EOG) {
					c = v.open(t, name, n)
				}
				last = v
				got, want := c.run(in, v.rowCase(), name), v.Out.table()
				if got.selected != want.selected || got.draw != want.draw || got.stop != want.stop || got.sorted != want.sorted ||
					(got.ids == nil) != (want.ids == nil) || !slices.Equal(got.ids, want.ids) || len(got.logits) != len(want.logits) {
					t.Fatalf("%s %v: %+v\nwant %+v", v.Name, v.Params, got, want)
				}
				for i, x := range got.logits {
					if value(x) != value(want.logits[i]) {
						t.Fatalf("%s %v: logit %d is %v, want %v", v.Name, v.Params, i, x, want.logits[i])
					}
				}
			}
		})
	}
}
