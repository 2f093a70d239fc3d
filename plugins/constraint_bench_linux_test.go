package plugins_test

import (
	"context"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"forge/abi"
	"forge/gguf"
	"forge/host/plugin"
)

// gemmaVocab is the beginning of Gemma's vocabulary: pieces as they stand in a text.
func gemmaVocab(tb testing.TB, n int) constraintVocab {
	tb.Helper()
	const path = "../models/gemma-3-270m-q4_k_m.gguf"
	if _, err := os.Stat(path); err != nil {
		tb.Skip("the model whose vocabulary this takes is not here")
	}
	f, err := gguf.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	tokens, _, err := f.Array("tokenizer.ggml.tokens")
	if err != nil {
		tb.Fatal(err)
	}
	types, _, err := f.Array("tokenizer.ggml.token_type")
	if err != nil {
		tb.Fatal(err)
	}
	texts, err := tokens.Strings()
	if err != nil {
		tb.Fatal(err)
	}
	typeOf, err := types.Ints()
	if err != nil {
		tb.Fatal(err)
	}
	v := constraintVocab{eog: []uint32{1}}
	for i, text := range texts[:n] {
		piece := strings.ReplaceAll(text, "▁", " ")
		typ := int32(typeOf[i])
		if b, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(piece, "<0x"), ">"), 16, 8); err == nil && abi.TokenType(typ) == abi.TokenTypeByte {
			piece = string([]byte{byte(b)})
		}
		v.pieces, v.types = append(v.pieces, piece), append(v.types, typ)
	}
	return v
}

// cpuTime is the time that the calling thread has worked: other programs on the machine do not count.
func cpuTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

// maskTimes are the times of masks along an answer.
type maskTimes struct {
	compile time.Duration
	masks   []time.Duration
}

// least takes the lesser time at each place of the same answer: what else the machine does only ever adds to it.
func (m *maskTimes) least(of maskTimes) {
	m.compile = min(m.compile, of.compile)
	for i, d := range of.masks {
		m.masks[i] = min(m.masks[i], d)
	}
}

func (m *maskTimes) report(b *testing.B) {
	slices.Sort(m.masks)
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
	b.ReportMetric(us(m.masks[len(m.masks)/2]), "median-µs")
	b.ReportMetric(us(m.masks[len(m.masks)*99/100]), "99%-µs")
	b.ReportMetric(us(m.masks[len(m.masks)-1]), "worst-µs")
	b.ReportMetric(us(m.compile)/1000, "compile-ms")
	b.ReportMetric(0, "ns/op")
}

// answerTimes makes answers with tokens drawn at random from the masks, long pieces preferred as models do.
func answerTimes(b *testing.B, m *plugin.Module, c *plugin.Constraint, v constraintVocab, set map[string]any, tokens int) maskTimes {
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(5, 6))
	rows := []plugin.MaskRow{{Seq: 1, Mask: make([]uint32, (len(v.pieces)+31)/32)}}
	var times maskTimes
	for begun := false; len(times.masks) < tokens; {
		began := cpuTime()
		s, err := m.Settings(set)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Begin(ctx, 1, s); err != nil {
			b.Fatal(err)
		}
		if !begun {
			times.compile, begun = cpuTime()-began, true
		}
		for range tokens {
			began := cpuTime()
			if err := c.Mask(ctx, rows); err != nil || rows[0].Err != nil {
				b.Fatal(err, rows[0].Err)
			}
			times.masks = append(times.masks, cpuTime()-began)
			if rows[0].Result != abi.MaskResultMask {
				break
			}
			best, at := uint32(0), rng.IntN(len(v.pieces))
			for k, tries := 0, 0; k < len(v.pieces) && tries < 3; k++ {
				id := uint32((at + k) % len(v.pieces))
				if rows[0].Mask[id/32]>>(id%32)&1 != 0 && (tries == 0 || len(v.pieces[id]) > len(v.pieces[best])) {
					best, tries = id, tries+1
				}
			}
			if best == v.eog[0] {
				break
			}
			if err := c.Accept(ctx, 1, best); err != nil {
				b.Fatal(err)
			}
		}
		if err := c.End(ctx, 1); err != nil {
			b.Fatal(err)
		}
	}
	return times
}

const benchVocab = 131072

// BenchmarkConstraintMask reports the time of a mask over 131,072 tokens along answers, the first of a state included, and
// that of the schema's compilation.
func BenchmarkConstraintMask(b *testing.B) {
	v := gemmaVocab(b, benchVocab)
	deep := `{"type":"string"}`
	for i := range 40 {
		deep = `{"type":"object","properties":{"name` + strconv.Itoa(i) + `":{"type":"string","maxLength":` + strconv.Itoa(20+i) + `},"child":` + deep + `},"required":["name` + strconv.Itoa(i) + `","child"]}`
	}
	var wide strings.Builder
	wide.WriteString(`{"type":"object","properties":{`)
	for i := range 100 {
		if i > 0 {
			wide.WriteString(",")
		}
		wide.WriteString(`"field_` + strconv.Itoa(i) + `":{"type":["string","number","null"]}`)
	}
	wide.WriteString(`},"additionalProperties":{"type":"string"}}`)
	for _, bench := range []struct {
		name string
		set  map[string]any
	}{
		{"object", map[string]any{"json_schema": `{"type":"object"}`}},
		{"person", map[string]any{"json_schema": `{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":0,"maximum":150},"mail":{"type":"string","format":"email"},"tags":{"type":"array","items":{"enum":["a","b","long tag"]}}},"required":["name","age","mail","tags"]}`}},
		{"deep", map[string]any{"json_schema": deep}},
		{"wide", map[string]any{"json_schema": wide.String()}},
		{"lengths", map[string]any{"json_schema": `{"type":"array","items":{"type":"string","minLength":10,"maxLength":300}}`}},
		{"pattern", map[string]any{"json_schema": `{"type":"array","items":{"type":"string","pattern":"^([A-Z][a-z]+ ){1,8}$"}}`}},
		{"regex", map[string]any{"regex": `(\w+[ ,.]){10,400}`}},
		{"words", map[string]any{"grammar": "root ::= (word \" \")* word\nword ::= [a-zA-Z]+ | [0-9]+ (\".\" [0-9]+)?"}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			began := cpuTime()
			m, c := hostConstraint(b, v, nil)
			b.Logf("the module and the vocabulary of %d tokens take %.1f ms to be made ready", len(v.pieces), float64((cpuTime()-began).Microseconds())/1000)
			for b.Loop() {
			}
			times := answerTimes(b, m, c, v, bench.set, 2000)
			for range 2 {
				m, c := hostConstraint(b, v, nil)
				times.least(answerTimes(b, m, c, v, bench.set, 2000))
			}
			times.report(b)
		})
	}
}
