package plugins_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"forge/abi"
	"forge/kernels"
	"forge/plugins/internal/guesttest"
)

// fuelRatio runs the same work on a guest and on its metered twin in turn and reports the median of metered over plain;
// the pairs stand so close together that what else the machine does hits both. work gives the time of its calls alone.
func fuelRatio(b *testing.B, guest **guesttest.Guest, work func() time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	twins := [2]*guesttest.Guest{*guest, (*guest).Metered()}
	var ratios []float64
	var plain []time.Duration
	for b.Loop() {
		var times [2]time.Duration
		for i := range twins {
			i = (i + len(ratios)) % 2 // neither always comes second
			*guest = twins[i]
			times[i] = work()
		}
		plain = append(plain, times[0])
		ratios = append(ratios, float64(times[1])/float64(times[0]))
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "metered/plain")
	b.ReportMetric(float64(median(plain).Nanoseconds())/1000, "plain-µs")
	b.ReportMetric(0, "ns/op")
}

// timed is the thread's time for a work.
func timed(work func()) time.Duration {
	began := cpuTime()
	work()
	return cpuTime() - began
}

// BenchmarkFuel reports what fuel costs the shipped C guests in a typical call: metered over plain time, without the host's
// part. The tokenizers have theirs beside their tests.
func BenchmarkFuel(b *testing.B) {
	b.Run("sampler", benchmarkFuelSampler)
	b.Run("mirostat", benchmarkFuelMirostat)
	b.Run("text", benchmarkFuelText)
	b.Run("router", benchmarkFuelRouter)
	b.Run("constraint", benchmarkFuelConstraint)
	b.Run("arch", benchmarkFuelArch)
}

// samplerWork is a chain's calls for one row.
func samplerWork(c *chain, t table, rc rowCase, names ...string) func() time.Duration {
	return func() time.Duration {
		c.load(t, rc)
		return timed(func() {
			for _, name := range names {
				c.step(name)
			}
		})
	}
}

func benchmarkFuelSampler(b *testing.B) {
	const n = 131072
	logits := peaked(rand.New(rand.NewPCG(5, 5)), n)
	rc := rowCase{params: params(repeatPenalty, 1.1, typicalP, 0.9, topNSigma, 2, xtcProbability, 0.5, dynatempRange, 0.5)}
	for i := range 64 {
		rc.history = append(rc.history, uint32(i*37))
	}
	for _, names := range [][]string{
		{"penalties", "top_k", "top_p", "min_p", "temperature", "dist"},
		{"penalties", "top_p", "min_p", "temperature", "dist"},
		{"penalties"}, {"top_k"}, {"typ_p"}, {"top_p"}, {"min_p"}, {"top_n_sigma"}, {"xtc"}, {"temperature"}, {"dist"}, {"greedy"},
	} {
		name := names[0]
		if len(names) > 1 {
			name = []string{"chain without top_k", "chain"}[len(names)-5]
		}
		b.Run(name, func(b *testing.B) {
			c := openChain(b, n)
			fuelRatio(b, &c.Guest, samplerWork(c, table{logits: logits}, rc, names...))
		})
	}
}

func benchmarkFuelMirostat(b *testing.B) {
	const n = 131072
	logits := peaked(rand.New(rand.NewPCG(5, 5)), n)
	for version := range 2 {
		b.Run(fmt.Sprint(version+1), func(b *testing.B) {
			c := openMirostat(b, n)
			if err := c.begin(1); err != nil {
				b.Fatal(err)
			}
			rc := rowCase{seq: 1, params: params(mirostat, float64(version+1))}
			fuelRatio(b, &c.Guest, samplerWork(c.chain, table{logits: logits}, rc, "mirostat"))
		})
	}
}

func benchmarkFuelText(b *testing.B) {
	rng := rand.New(rand.NewPCG(6, 6))
	w := &words{eog: []uint32{0}}
	for range 32768 {
		w.texts = append(w.texts, " "+string([]byte{byte('a' + rng.IntN(26)), byte('a' + rng.IntN(26)), byte('a' + rng.IntN(26))}))
	}
	logits := peaked(rng, len(w.texts))
	rc := rowCase{params: params(dryMultiplier, 0.8, minTokens, 2000, ignoreEOS, 1), breakers: `\n,:,",*`}
	rc.params[drySequenceBreakers] = 1
	for range 1000 {
		rc.history = append(rc.history, uint32(rng.IntN(40)))
	}
	for _, name := range []string{"dry", "infill", "min_tokens", "ignore_eos"} {
		b.Run(name, func(b *testing.B) {
			c, t := openWords(b, w), table{logits: logits}
			if name == "infill" { // it stands behind top_k
				t = table{sorted: true}
				for _, i := range ranked(table{logits: logits})[:40] {
					t.logits, t.ids = append(t.logits, logits[i]), append(t.ids, uint32(i))
				}
			}
			fuelRatio(b, &c.Guest, samplerWork(c, t, rc, name))
		})
	}
}

func benchmarkFuelRouter(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	scores := make([]float32, 256*128)
	for i := range scores {
		scores[i] = float32(rng.NormFloat64())
	}
	for name, layer := range routeForms(rng) {
		b.Run(name, func(b *testing.B) {
			r := openRouter(b, "softmax", -1, -1, 0)
			if layer.Score == uint32(kernels.RouteScoreSigmoid) {
				r = openRouter(b, "sigmoid", 1, 0, 0, -1, 0)
			}
			a := kernels.RouteAttrs{Score: kernels.RouteScore(layer.Score), TopK: layer.TopK, NGroup: layer.NGroup, NGroupUsed: layer.NGroupUsed, Factor: layer.Factor}
			if layer.Renormalise {
				a.Renormalise = 1
			}
			at := r.lay(scores, layer.Bias, layer.NExperts, a)
			fuelRatio(b, &r.Guest, func() time.Duration {
				f := abi.Route(r.Bytes(at, abi.RouteSize))
				f.SetNTokens(256)
				return timed(func() {
					if err := r.Call("router_route", at); err != nil {
						b.Fatal(err)
					}
				})
			})
		})
	}
}

// benchmarkFuelConstraint walks through an answer again and again: begin, and for each token a mask and an accept.
func benchmarkFuelConstraint(b *testing.B) {
	v := gemmaVocab(b, benchVocab)
	for name, bench := range map[string]struct {
		s    settings
		text string
	}{
		"schema":  {settings{schema: `{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"},"tags":{"type":"array","items":{"type":"string","maxLength":20}}},"required":["name","age","tags"]}`}, `{"name": "Ada Lovelace", "age": 36, "tags": ["first", "of them all"]}`},
		"grammar": {settings{grammar: "root ::= (word \" \")* word\nword ::= [a-zA-Z]+ | [0-9]+ (\".\" [0-9]+)?"}, "some words and 27 or 3.14 of them"},
		"regex":   {settings{regex: `(\w+[ ,.]){10,400}`}, "some words and others "},
		"banned":  {settings{banned: `["zebra","a b"]`}, "some words and others "},
	} {
		b.Run(name, func(b *testing.B) {
			c := openConstraint(b, v, 1<<14)
			var ids []uint32
			for i := range len(bench.text) {
				ids = append(ids, v.find(bench.text[i:i+1]))
			}
			fuelRatio(b, &c.Guest, func() time.Duration {
				return timed(func() {
					if err := c.begin(1, bench.s); err != nil {
						b.Fatal(err)
					}
					for _, id := range ids {
						c.rowOf(1, nil)
						if err := c.Call("constraint_mask", c.masksAt); err != nil {
							b.Fatal(err)
						}
						if err := c.accept(1, id); err != nil {
							b.Fatal(err)
						}
					}
					if err := c.end(1); err != nil {
						b.Fatal(err)
					}
				})
			})
		})
	}
}

func benchmarkFuelArch(b *testing.B) {
	for name, f := range map[string]file{"llama": llama(), "gemma3": gemma3()} {
		b.Run(name, func(b *testing.B) {
			g, at := layArch(b, name, f, 512, 512)
			saved := slices.Clone(g.Bytes(at, abi.ArchSize))
			fuelRatio(b, &g, func() time.Duration {
				var sum time.Duration
				for range 16 {
					copy(g.Bytes(at, abi.ArchSize), saved)
					sum += timed(func() {
						if err := g.Call("arch_build", at); err != nil {
							b.Fatal(err)
						}
					})
				}
				return sum
			})
		})
	}
}
