package test

import (
	"slices"
	"testing"
	"time"

	"forge/plugins/internal/guesttest"
)

// BenchmarkFuel reports what fuel costs the tokenizers: metered over plain time of encoding, and of decoding what came of it,
// each text in turn on a guest and its twin.
func BenchmarkFuel(b *testing.B) {
	text := goComments(b, 200_000)
	for _, s := range subjects {
		v := readVocabulary(b, s.path(b))
		for _, what := range []string{"encode", "decode"} {
			b.Run(s.name+"/"+what, func(b *testing.B) {
				plain := load(b, s.guest, v, 1<<18, 1<<20)
				metered := plain.meteredTwin(b, s.guest)
				ids := plain.mustEncode(b, text, false)
				work := func(g *guest) time.Duration {
					var c clock
					c.measure(func() {
						if what == "encode" {
							g.mustEncode(b, text, false)
						} else if _, _, err := g.decode(b, ids, false, len(ids), 1<<20); err != nil {
							b.Fatal(err)
						}
					})
					return c.least
				}
				var ratios []float64
				for b.Loop() {
					p := work(plain)
					ratios = append(ratios, float64(work(metered))/float64(p))
				}
				slices.Sort(ratios)
				b.ReportMetric(ratios[len(ratios)/2], "metered/plain")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// meteredTwin gives the guest as the host runs it, see guesttest.MeteredTwin.
func (g *guest) meteredTwin(t testing.TB, name string) *guest {
	twin := *g
	twin.mod = guesttest.MeteredTwin(t, "../"+name+".wasm", g.mod)
	twin.encodeFn, twin.decodeFn = twin.mod.ExportedFunction("tokenizer_encode"), twin.mod.ExportedFunction("tokenizer_decode")
	twin.initFn = nil
	return &twin
}
