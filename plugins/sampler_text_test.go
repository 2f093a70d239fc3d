package plugins_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"forge/abi"
)

// dryWords are tokens of which some hold breakers, some begin one, and some end one.
var dryWords = []string{"a", "b", "ab", " the", "\n", ".\n\n", ":", "x:y", "\"", "*", "E", "N", "D", "EN", "ND", "xE", "Ende", "é", " ", "<|im|>"}

// dryFormula gives each token's penalty by the definition, comparing every two places of the history.
func dryFormula(history []uint32, texts, breakers []string, p [nParams]float64) map[uint32]float64 {
	if last := p[dryPenaltyLastN]; last >= 0 && int(last) < len(history) {
		history = history[len(history)-int(last):]
	}
	n, allowed := len(history), int(p[dryAllowedLength])
	limit := n
	var text string
	var owner []int
	begins := make([]int, n+1)
	for i, id := range history {
		text += texts[id]
		begins[i+1] = len(text)
		for range texts[id] {
			owner = append(owner, i)
		}
		for len(owner) < len(text) {
			owner = append(owner, i)
		}
	}
	for i := n - 1; i >= 0 && limit == n; i-- {
		for at := begins[i]; at < begins[i+1]; at++ {
			for _, b := range breakers {
				if strings.HasPrefix(text[at:], b) {
					limit = min(limit, n-1-owner[at+len(b)-1])
				}
			}
		}
	}
	longest := map[uint32]int{}
	for j := range n - 1 {
		m := 0
		for m <= j && history[j-m] == history[n-1-m] {
			m++
		}
		if m = min(m, limit); m >= allowed {
			longest[history[j+1]] = max(longest[history[j+1]], m)
		}
	}
	out := map[uint32]float64{}
	if limit < allowed || n <= allowed {
		return out
	}
	for id, m := range longest {
		if !slices.ContainsFunc(breakers, func(b string) bool { return strings.Contains(texts[id], b) }) {
			out[id] = p[dryMultiplier] * math.Pow(p[dryBase], float64(m-allowed))
		}
	}
	return out
}

// Ensure that dry lowers logits by the definition: on random histories, whole and narrowed tables, and
// breakers within a token and across several.
func TestDRY(t *testing.T) {
	sets := map[string][]string{
		"":                  nil,
		`\n,:,",*`:          {"\n", ":", "\"", "*"},
		`END,\n\n`:          {"END", "\n\n"},
		`E,END`:             {"E", "END"},
		`END,E`:             {"END", "E"},
		`END,N`:             {"END", "N"},
		` ,é`:               {" ", "é"},
		`\\,a\,b,<|im|>, t`: {"\\", "a,b", "<|im|>", " t"},
	}
	c := openWords(t, &words{texts: dryWords})
	n := len(dryWords)
	rng := rand.New(rand.NewPCG(3, 3))
	penalised := 0
	for round := range 1200 {
		// A few tokens repeat a lot, the others break.
		history := make([]uint32, rng.IntN(60)+rng.IntN(2)*rng.IntN(300))
		few, base := 1+rng.IntN(3), rng.IntN(2)*rng.IntN(n)
		for i := range history {
			if history[i] = uint32((base + rng.IntN(few)) % n); rng.IntN(12) == 0 {
				history[i] = uint32(rng.IntN(n))
			}
			if i > 8 && rng.IntN(5) == 0 {
				history[i] = history[i-7]
			}
		}
		for setting, breakers := range sets {
			rc := rowCase{history: history, breakers: setting, params: params(dryMultiplier, 0.25+rng.Float64(), dryBase, 1+rng.Float64(),
				dryAllowedLength, float64(rng.IntN(4)), dryPenaltyLastN, []float64{-1, 0, 3, 40}[rng.IntN(4)])}
			in := table{logits: make([]float32, n)}
			for i := range in.logits {
				in.logits[i] = float32(rng.NormFloat64())
			}
			if round%2 == 1 {
				for _, i := range rng.Perm(n)[:n/2] {
					in.ids = append(in.ids, uint32(i))
				}
				in.logits = in.logits[:n/2]
			}
			got := c.run(in, rc, "dry")
			want := dryFormula(history, dryWords, breakers, rc.params)
			for i, x := range in.logits {
				penalty := want[in.id(i)]
				if penalty > 0 {
					penalised++
				}
				if got.id(i) != in.id(i) || math.Abs(float64(got.logits[i])-(float64(x)-penalty)) > ulp(math.Abs(float64(x)-penalty)) {
					t.Fatalf("%q %v last %d: token %d: %v becomes %v, want %v", setting, rc.params[dryMultiplier:drySequenceBreakers], history, in.id(i), x, got.logits[i], float64(x)-penalty)
				}
			}
		}
	}
	if penalised < 5000 {
		t.Errorf("only %d penalties were seen", penalised)
	}
}

// Ensure that a history of one token repeated costs fuel in proportion to its length, and that its penalty stays finite.
func TestDRY_Long(t *testing.T) {
	c := openWords(t, &words{texts: dryWords})
	in := table{logits: make([]float32, len(dryWords))}
	got := c.run(in, rowCase{history: make([]uint32, maxHistory), params: params(dryMultiplier, 1)}, "dry")
	// base^exponent is held to the largest float32.
	if want := -math.Pow(1.75, math.Floor(88.7228391/math.Log(1.75))); math.Abs(float64(got.logits[0])/want-1) > 1e-6 {
		t.Errorf("the penalty of %d repetitions is %v, want %v", maxHistory, got.logits[0], want)
	}
	for _, x := range got.logits[1:] {
		if x != 0 {
			t.Fatal("a token that never occurred is penalised")
		}
	}
}

func TestDRY_Settings(t *testing.T) {
	c := openWords(t, &words{texts: dryWords})
	in := table{logits: make([]float32, len(dryWords))}
	history := []uint32{0, 1, 0, 1, 0}
	for _, off := range [][nParams]float64{params(), params(dryMultiplier, 1, dryBase, 0.9), params(dryMultiplier, 1, dryPenaltyLastN, 0),
		params(dryMultiplier, 1, dryAllowedLength, 5)} {
		unchanged(t, c.run(in, rowCase{history: history, params: off}, "dry"), in)
	}
	for setting, want := range map[string]string{
		strings.Repeat("x", 65):   "err_config: sampler dry: a sequence breaker is longer than 64 bytes",
		strings.Repeat("x,", 65):  "err_config: sampler dry: there are more than 64 sequence breakers",
		strings.Repeat("xy,", 60): "",
	} {
		c.load(in, rowCase{history: history, breakers: setting, params: params(dryMultiplier, 1)})
		if _, err := c.Status("sampler_dry", c.frame); fmt.Sprint(err) != want && (want != "" || err != nil) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Ensure that the tokens that end a generation are forbidden while they should be.
func TestEOG(t *testing.T) {
	w := &words{texts: dryWords}
	w.eog = []uint32{7, 3, 7}
	c := openWords(t, w)
	n := len(dryWords)
	whole := table{logits: make([]float32, n)}
	narrowed := table{logits: []float32{5, 4, 3, 2, 1}, ids: []uint32{3, 1, 9, 7, 8}, sorted: true}
	only := table{logits: []float32{5, 4}, ids: []uint32{7, 3}}
	for _, k := range []struct {
		sampler string
		rc      rowCase
		on      bool
	}{
		{"ignore_eos", rowCase{params: params()}, false},
		{"ignore_eos", rowCase{params: params(ignoreEOS, 1)}, true},
		{"min_tokens", rowCase{params: params()}, false},
		{"min_tokens", rowCase{params: params(minTokens, 3), history: make([]uint32, 7), nPrompt: 5}, true},
		{"min_tokens", rowCase{params: params(minTokens, 2), history: make([]uint32, 7), nPrompt: 5}, false},
		{"min_tokens", rowCase{params: params(minTokens, 1), history: make([]uint32, 7), nPrompt: 7}, true},
	} {
		a, b, d := c.run(whole, k.rc, k.sampler), c.run(narrowed, k.rc, k.sampler), c.run(only, k.rc, k.sampler)
		if !k.on {
			unchanged(t, a, whole)
			unchanged(t, b, narrowed)
			continue
		}
		for i, x := range a.logits {
			if forbidden := i == 3 || i == 7; math.IsInf(float64(x), -1) != forbidden || !forbidden && x != 0 {
				t.Errorf("%s: token %d has the logit %v", k.sampler, i, x)
			}
		}
		same(t, b, narrowed, []int{1, 2, 4})
		if !b.sorted || !d.stop || len(d.logits) != 0 {
			t.Errorf("%s: %+v", k.sampler, d)
		}
	}
}

// Ensure that without the grant the sentence says what to do.
func TestText_Ungranted(t *testing.T) {
	c := openModule(t, "text", 10)
	in := table{logits: make([]float32, 10)}
	for name, p := range map[string][nParams]float64{"ignore_eos": params(ignoreEOS, 1), "min_tokens": params(minTokens, 10), "infill": params(), "dry": params(dryMultiplier, 1)} {
		c.load(in, rowCase{params: p, history: []uint32{1, 2, 1, 2, 1}, breakers: ":"})
		s, err := c.Status("sampler_"+name, c.frame)
		if s != abi.StatusErrUnsupported || !strings.Contains(err.Error(), "give the plugin the grant vocab in plugins.toml") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// dry without breakers needs no texts.
	if got := c.run(in, rowCase{params: params(dryMultiplier, 1), history: []uint32{1, 2, 3, 1, 2}}, "dry"); got.logits[3] != -1 {
		t.Errorf("logits %v", got.logits)
	}
}

// Ensure that infill does what llama.h documents, worked by hand.
func TestInfill(t *testing.T) {
	texts := []string{"abc", "abcd", "abcde", "dummy", "<end>", "x", "xy", "a long text", "a long text, too", "a long tale"}
	w := &words{texts: texts}
	w.eog = []uint32{4}
	c := openWords(t, w)
	for name, k := range map[string]struct {
		p    map[uint32]float64 // of the candidates
		want map[uint32]float64 // what they are after it, up to a factor
	}{
		// abc, abcd and abcde are one: 0.1+0.2+0.3 of 0.7; dummy falls below 0.2.
		"merge":     {map[uint32]float64{0: 0.1, 1: 0.2, 2: 0.3, 3: 0.1}, map[uint32]float64{2: 1}},
		"long":      {map[uint32]float64{7: 0.35, 8: 0.3, 9: 0.35}, map[uint32]float64{7: 0.65, 9: 0.35}},
		"both stay": {map[uint32]float64{0: 0.3, 1: 0.2, 3: 0.5}, map[uint32]float64{0: 0.5, 3: 0.5}},
		"a quarter": {map[uint32]float64{0: 0.26, 3: 0.44, 5: 0.3}, map[uint32]float64{0: 0.26, 3: 0.44, 5: 0.3}},
		"less":      {map[uint32]float64{0: 0.24, 3: 0.45, 5: 0.31}, map[uint32]float64{3: 0.45, 5: 0.31}},
		"a third":   {map[uint32]float64{4: 0.02, 3: 0.68, 5: 0.30}, map[uint32]float64{4: 0.02, 3: 0.68}},
		"end wins":  {map[uint32]float64{4: 0.1, 3: 0.5, 0: 0.4}, map[uint32]float64{4: 1}},
		"end stays": {map[uint32]float64{4: 0.05, 3: 0.6, 5: 0.35}, map[uint32]float64{4: 0.05, 3: 0.6, 5: 0.35}},
	} {
		in := table{}
		for id, p := range k.p {
			in.ids, in.logits = append(in.ids, id), append(in.logits, float32(math.Log(p)+3))
		}
		got := c.run(in, rowCase{params: params()}, "infill")
		p := softmax(got)
		sum := 0.0
		for _, x := range k.want {
			sum += x
		}
		if len(p) != len(k.want) || !got.sorted {
			t.Errorf("%s: %d candidates are left, want %v", name, len(p), k.want)
			continue
		}
		for i, x := range p {
			if math.Abs(x-k.want[got.id(i)]/sum) > 1e-6 {
				t.Errorf("%s: token %d has %v, want %v", name, got.id(i), x, k.want[got.id(i)]/sum)
			}
		}
	}
}

// Ensure that infill ends the text where no candidate is likely enough, and refuses what it cannot compare.
func TestInfill_Edges(t *testing.T) {
	texts := make([]string, 300)
	for i := range texts {
		texts[i] = fmt.Sprintf("%c%d|", 'a'+i%26, i)
	}
	w := &words{texts: texts}
	w.eog = []uint32{299, 3}
	c := openWords(t, w)
	in := table{}
	for i := range 50 { // none reaches 0.2, and none ends
		in.ids, in.logits = append(in.ids, uint32(10+i)), append(in.logits, float32(i)/50)
	}
	if got := c.run(in, rowCase{params: params()}, "infill"); len(got.logits) != 1 || got.id(0) != 299 {
		t.Errorf("%v are left, want the token that ends a turn", got.ids)
	}
	c.load(table{logits: make([]float32, 300)}, rowCase{params: params()})
	s, err := c.Status("sampler_infill", c.frame)
	if s != abi.StatusErrUnsupported || err.Error() != "err_unsupported: sampler infill: compares the texts of at most 256 candidates: put top_k in front of it" {
		t.Error(err)
	}
	none := table{logits: []float32{-inf, nan}, ids: []uint32{1, 2}}
	unchanged(t, c.run(none, rowCase{params: params()}, "infill"), none)
}

// Ensure that logit_bias adds what its setting says, in any table.
func TestLogitBias(t *testing.T) {
	const n = 2000
	c := openChain(t, n)
	rng := rand.New(rand.NewPCG(5, 6))
	whole := table{logits: make([]float32, n)}
	for i := range whole.logits {
		whole.logits[i] = float32(rng.NormFloat64())
	}
	narrowed := table{sorted: true, ids: []uint32{}}
	for _, i := range ranked(whole)[:300] {
		narrowed.ids, narrowed.logits = append(narrowed.ids, uint32(i)), append(narrowed.logits, whole.logits[i])
	}
	first := narrowed.ids[0]
	for setting, want := range map[string]map[uint32]float64{
		"5+1":                        {5: 1},
		"5-0.1":                      {5: -0.1},
		" 5+1.5 , 1999-2e1,7+25e-2":  {5: 1.5, 1999: -20, 7: 0.25},
		"5+1,6+1,5+2.5":              {5: 3.5, 6: 1},
		"5-inf,6+inf":                {5: math.Inf(-1), 6: math.Inf(1)},
		"0005+.5":                    {5: 0.5},
		fmt.Sprintf("%d-100", first): {first: -100},
	} {
		for _, in := range []table{whole, narrowed} {
			got := c.run(in, rowCase{params: params(), bias: setting}, "logit_bias")
			if got.sorted {
				t.Error("still flagged sorted")
			}
			for i, x := range in.logits {
				if w := float32(float64(x) + want[in.id(i)]); got.logits[i] != w || got.id(i) != in.id(i) {
					t.Fatalf("%q: token %d: %v becomes %v, want %v", setting, in.id(i), x, got.logits[i], w)
				}
			}
		}
	}
	unchanged(t, c.run(whole, rowCase{params: params()}, "logit_bias"), whole)
	const shape = "the setting is not a list of ID+BIAS and ID-BIAS with commas between, such as 15043+1,2-inf"
	for setting, want := range map[string]string{
		"5": shape, "5+": shape, "+1": shape, "5=1": shape, "5+1;6+1": shape, "5+1 6+1": shape, "5+x": shape, "5+1e": shape, "5--1": shape, "5+.": shape, ",": shape,
		"2000+1": "the setting names a token that the vocabulary does not have", "99999999999999999999+1": shape,
	} {
		c.load(whole, rowCase{params: params(), bias: setting})
		s, err := c.Status("sampler_logit_bias", c.frame)
		if s != abi.StatusErrConfig || err.Error() != "err_config: sampler logit_bias: "+want {
			t.Errorf("%q: %v", setting, err)
		}
	}
	// The refusals left no scratch behind.
	if got := c.run(whole, rowCase{params: params(), bias: "5+1"}, "logit_bias"); got.logits[6] != whole.logits[6] || got.logits[5] == whole.logits[5] {
		t.Error("a refused setting has an effect on the next row")
	}
}
