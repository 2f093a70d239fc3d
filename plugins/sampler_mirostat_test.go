package plugins_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"forge/abi"
)

// mirostatKept gives the candidates, best first, that Mirostat leaves of a row at mu, and their probabilities among
// themselves: the paper's definitions in float64.
func mirostatKept(in table, nVocab int, p [nParams]float64, mu float64) (kept []int, prob []float64) {
	scaled := table{ids: in.ids}
	for _, x := range in.logits {
		y := value(x)
		if p[temp] > 0 && p[temp] != 1 {
			y = float64(float32(y) / float32(p[temp]))
		}
		scaled.logits = append(scaled.logits, float32(y))
	}
	order, q := ranked(scaled), softmax(scaled)
	n := len(order)
	switch {
	case p[temp] <= 0:
		n = 1
	case p[mirostat] == 1:
		var tb, tt float64
		for i := 0; i+1 < min(n, 100); i++ {
			t, b := math.Log(float64(i+2)/float64(i+1)), value(scaled.logits[order[i]])-value(scaled.logits[order[i+1]])
			if math.IsInf(b, 0) || b != b {
				break
			}
			tb, tt = tb+t*b, tt+t*t
		}
		s := 1.0
		if tt > 0 {
			s = tb / tt
		}
		e := s - 1
		factor := e / (1 - math.Pow(float64(nVocab), -e))
		if math.Abs(e*math.Log(float64(nVocab))) <= 1e-9 {
			factor = 1 / math.Log(float64(nVocab))
		}
		k := math.Pow(factor*math.Pow(2, mu), 1/s)
		if k < float64(n) {
			n = max(1, int(k))
		}
	default:
		n = 0
		for n < len(order) && -math.Log2(q[order[n]]) <= mu {
			n++
		}
		n = max(1, n)
	}
	kept = order[:n]
	sum := 0.0
	for _, i := range kept {
		sum += q[i]
	}
	for _, i := range kept {
		prob = append(prob, q[i]/sum)
	}
	return kept, prob
}

// A miroChain is the module mirostat with frames for its sequences' calls.
type miroChain struct {
	*chain
	seqFrame, buffer, tokens uint32
}

const bufferCap = 1 << 16

func openMirostat(tb testing.TB, nVocab int) *miroChain {
	c := &miroChain{chain: openModule(tb, "mirostat", nVocab)}
	c.seqFrame, _ = c.Frame(abi.SeqSize)
	c.tokens, c.buffer = c.Alloc(4*1024), c.Alloc(bufferCap)
	c.wantTop = 5
	return c
}

// call calls forge_NAME.
func (c *miroChain) call(name string, fill func(abi.Seq)) error {
	f := abi.Seq(c.Bytes(c.seqFrame, abi.SeqSize))
	clear(f[abi.HeadSize:])
	fill(f)
	return c.Call("forge_"+name, c.seqFrame)
}

func (c *miroChain) begin(seq uint64) error {
	return c.call("begin", func(f abi.Seq) { f.SetSeq(seq) })
}

func (c *miroChain) accept(seq uint64, flags abi.SeqFlag, tokens ...uint32) error {
	return c.call("accept", func(f abi.Seq) {
		f.SetSeq(seq)
		f.SetFlags(uint32(flags))
		f.SetCount(uint32(len(tokens)))
		copy(c.Bytes(c.tokens, 4*1024), idBytes(tokens))
		f.SetTokens(c.tokens, uint32(len(tokens)))
	})
}

func (c *miroChain) rollback(seq uint64, n int) error {
	return c.call("rollback", func(f abi.Seq) {
		f.SetSeq(seq)
		f.SetCount(uint32(n))
	})
}

func (c *miroChain) save(seq uint64, room uint32) (state []byte, used uint32, err error) {
	err = c.call("save", func(f abi.Seq) {
		f.SetSeq(seq)
		f.SetBuffer(c.buffer, room)
	})
	used = abi.Seq(c.Bytes(c.seqFrame, abi.SeqSize)).Used()
	return slices.Clone(c.Bytes(c.buffer, min(used, bufferCap))), used, err
}

func (c *miroChain) restore(seq uint64, state []byte) error {
	copy(c.Bytes(c.buffer, bufferCap), state)
	return c.call("load", func(f abi.Seq) {
		f.SetSeq(seq)
		f.SetBuffer(c.buffer, uint32(len(state)))
	})
}

// mu gives a sequence's newest mu, NaN at its beginning.
func (c *miroChain) mu(seq uint64) float64 {
	state, _, err := c.save(seq, bufferCap)
	if err != nil {
		c.tb.Fatal(err)
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(state[len(state)-8:]))
}

// Ensure that on tables of all kinds Mirostat keeps what its formula keeps, draws from that by the row's uniform, tells the
// chances, and moves mu by the surprise of what was picked.
func TestMirostat(t *testing.T) {
	for _, n := range []int{1, 2, 17, 100, 101, 1024, 1025, 4097} {
		c := openMirostat(t, n)
		for name, logits := range rows(n) {
			sorted := table{sorted: true, ids: []uint32{}}
			for _, i := range ranked(table{logits: logits}) {
				sorted.ids, sorted.logits = append(sorted.ids, uint32(i)), append(sorted.logits, float32(value(logits[i])))
			}
			for kind, in := range map[string]table{"whole": {logits: logits}, "sorted": sorted} {
				for k, p := range [][nParams]float64{params(mirostat, 2), params(mirostat, 1), params(mirostat, 2, mirostatTau, 1, mirostatEta, 0.5),
					params(mirostat, 1, mirostatTau, 2, temp, 1.5), params(mirostat, 1, mirostatTau, 0.2), params(mirostat, 2, temp, 0), params(mirostat, 1, temp, 1)} {
					t.Run(fmt.Sprint(n, name, kind, k), func(t *testing.T) { checkMirostat(t, c, in, n, p) })
				}
			}
			unchanged(t, c.run(sorted, rowCase{params: params()}, "mirostat"), sorted)
		}
	}
}

func checkMirostat(t *testing.T, c *miroChain, in table, n int, p [nParams]float64) {
	if err := c.begin(9); err != nil {
		t.Fatal(err)
	}
	mu := 2 * p[mirostatTau]
	for draw := range uint64(3) {
		got := c.run(in, rowCase{seq: 9, params: p, seed: 5, draw: draw}, "mirostat")
		if math.IsInf(value(in.logits[ranked(in)[0]]), -1) {
			if !got.stop || got.draw != draw {
				t.Fatal("a table without candidates does not stop")
			}
			return
		}
		if got.selected < 0 || got.draw != draw+1 || got.stop {
			t.Fatalf("selected %d, draw from %d to %d", got.selected, draw, got.draw)
		}
		// The number kept may differ where mu lies on the edge of a candidate.
		eps := 1e-5
		few, _ := mirostatKept(in, n, p, mu-eps)
		kept, _ := mirostatKept(in, n, p, mu+eps)
		if len(got.logits) < len(few) || len(got.logits) > len(kept) {
			t.Fatalf("mu %v: %d candidates are kept, want %d to %d", mu, len(got.logits), len(few), len(kept))
		}
		kept = kept[:len(got.logits)]
		ids := map[uint32]bool{}
		for _, i := range kept {
			ids[in.id(i)] = true
		}
		q, at := softmax(got), 0.0
		for j := range got.logits {
			if !ids[got.id(j)] {
				t.Fatalf("token %d is kept", got.id(j))
			}
			if j < int(got.selected) {
				at += q[j]
			}
		}
		s := got.selected
		if u := uniform(5, draw); q[s] == 0 || at > u+tolerance || at+q[s] < u-tolerance {
			t.Fatalf("u = %v picks %d, which spans %v to %v", u, s, at, at+q[s])
		}
		// The probability that moves mu is the one among those kept by the formula.
		_, prob := mirostatKept(in, n, p, mu)
		for _, near := range []float64{mu - eps, mu + eps} {
			if len(prob) != len(kept) {
				_, prob = mirostatKept(in, n, p, near)
			}
		}
		logprob, top := c.told()
		possible := 0
		for _, x := range got.logits {
			if !math.IsInf(value(x), -1) {
				possible++
			}
		}
		if len(top) != min(possible, 5) {
			t.Fatalf("%d chances are told of %d candidates", len(top), possible)
		}
		for j, l := range top {
			if prob[j] > 1e-300 && (l.id != in.id(kept[j]) || math.Abs(l.logprob-math.Log(prob[j])) > 1e-4) {
				t.Fatalf("chance %d is told to be %v, want %d by %v", j, l, in.id(kept[j]), math.Log(prob[j]))
			}
		}
		for j, i := range kept {
			if in.id(i) == got.id(int(s)) {
				if math.Abs(logprob-math.Log(prob[j])) > 1e-4 {
					t.Fatalf("the pick is told to have the chance %v, want %v", logprob, math.Log(prob[j]))
				}
				mu -= p[mirostatEta] * (-math.Log2(prob[j]) - p[mirostatTau])
			}
		}
		if err := c.accept(9, 0, got.id(int(s))); err != nil {
			t.Fatal(err)
		}
		if have := c.mu(9); math.Abs(have-mu) > 1e-5*(1+math.Abs(mu)) {
			t.Fatalf("mu is %v, want %v", have, mu)
		}
		mu = c.mu(9)
	}
}

// A miroModel is what a sequence should be: for each accepted token the row that it was picked from, or none.
type miroModel struct {
	prompt int
	picks  []miroPick
}

type miroPick struct {
	row   int // -1: the token came from elsewhere
	draw  uint64
	token uint32
}

// Ensure that after any sequence of calls, drafts among them, a sequence's mu is that of one which was given the same accepted
// tokens from scratch.
func TestMirostat_Replay(t *testing.T) {
	const n, rounds = 200, 3000
	c, fresh := openMirostat(t, n), openMirostat(t, n)
	rng := rand.New(rand.NewPCG(8, 8))
	var tables []table
	for range 12 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(2 * rng.NormFloat64())
		}
		tables = append(tables, table{logits: x})
	}
	p := params(mirostat, 2, mirostatTau, 3)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	pick := func(c *miroChain, seq uint64, draft, row int, draw uint64) uint32 {
		got := c.run(tables[row], rowCase{seq: seq, draft: draft, params: p, seed: 1, draw: draw}, "mirostat")
		return got.id(int(got.selected))
	}
	// replay makes the sequence anew and gives its mu.
	replay := func(m *miroModel) float64 {
		must(fresh.begin(1))
		must(fresh.accept(1, abi.SeqFlagPrompt, make([]uint32, m.prompt)...))
		for _, k := range m.picks {
			if k.row >= 0 && pick(fresh, 1, 0, k.row, k.draw) != k.token {
				t.Fatal("the replay picks another token")
			}
			must(fresh.accept(1, 0, k.token))
		}
		return fresh.mu(1)
	}
	models := map[uint64]*miroModel{}
	next, draw := uint64(1), uint64(0)
	any := func() uint64 {
		ids := make([]uint64, 0, len(models))
		for id := range models {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		return ids[rng.IntN(len(ids))]
	}
	for round := range rounds {
		op := rng.IntN(10)
		if len(models) == 0 {
			op = 0
		}
		switch {
		case op == 0 && len(models) < 40:
			m := &miroModel{prompt: rng.IntN(5)}
			must(c.begin(next))
			must(c.accept(next, abi.SeqFlagPrompt, make([]uint32, m.prompt)...))
			models[next] = m
			next++
		case op < 5: // rows of drafts, of which some are accepted
			id := any()
			var ahead []miroPick
			for d := range 1 + rng.IntN(4) {
				row := rng.IntN(len(tables))
				ahead = append(ahead, miroPick{row, draw, pick(c, id, d, row, draw)})
				draw++
			}
			kept := rng.IntN(len(ahead) + 1)
			var tokens []uint32
			for i := range kept {
				tokens = append(tokens, ahead[i].token)
			}
			m := models[id]
			if rng.IntN(4) == 0 { // and one that a constraint forced
				tokens, kept = append(tokens, n+1), kept+1
				ahead = append(ahead[:kept-1], miroPick{-1, 0, n + 1})
			}
			must(c.accept(id, 0, tokens...))
			m.picks = append(m.picks, ahead[:kept]...)
		case op == 5:
			id := any()
			m := models[id]
			back := rng.IntN(min(len(m.picks)+m.prompt, 6) + 1)
			must(c.rollback(id, back))
			m.prompt -= max(0, back-len(m.picks))
			m.picks = m.picks[:max(0, len(m.picks)-back)]
		case op == 6 && len(models) < 40:
			id := any()
			must(c.call("fork", func(f abi.Seq) {
				f.SetSeq(next)
				f.SetParent(id)
			}))
			m := *models[id]
			m.picks = slices.Clone(m.picks)
			models[next] = &m
			next++
		case op == 7:
			id := any()
			state, _, err := c.save(id, bufferCap)
			must(err)
			must(c.restore(next, state))
			models[next] = models[id]
			delete(models, id)
			must(c.call("end", func(f abi.Seq) { f.SetSeq(id) }))
			next++
		case op == 8 && len(models) > 20:
			id := any()
			delete(models, id)
			must(c.call("end", func(f abi.Seq) { f.SetSeq(id) }))
		}
		if round%7 == 0 && len(models) > 0 {
			id := any()
			m := models[id]
			if have, want := c.mu(id), replay(m); have != want && (have == have || want == want) {
				t.Fatalf("round %d: mu is %v, a replay of %d tokens gives %v", round, have, len(m.picks), want)
			}
		}
	}
}

// Ensure that drafts behind one that was not kept say nothing, though their tokens come.
func TestMirostat_BrokenDrafts(t *testing.T) {
	const n = 50
	c := openMirostat(t, n)
	in := table{logits: make([]float32, n)}
	p := params(mirostat, 2)
	if err := c.begin(1); err != nil {
		t.Fatal(err)
	}
	var tokens []uint32
	for d := range 3 {
		got := c.run(in, rowCase{seq: 1, draft: d, params: p, draw: uint64(d)}, "mirostat")
		tokens = append(tokens, got.id(int(got.selected)))
	}
	tokens[0] = n + 1
	if err := c.accept(1, 0, tokens...); err != nil {
		t.Fatal(err)
	}
	if mu := c.mu(1); mu == mu {
		t.Errorf("mu is %v, no accepted token was picked from a row", mu)
	}
}

// Ensure that what does not fit the state is refused, and leaves it as it was.
func TestMirostat_Refused(t *testing.T) {
	c := openMirostat(t, 50)
	in := table{logits: make([]float32, 50)}
	status := func(rc rowCase) error {
		c.load(in, rc)
		_, err := c.Status("sampler_mirostat", c.frame)
		return err
	}
	const unknown = "err_state: the sequence was not begun"
	const early = "err_state: sampler mirostat: the row's sequence was not begun, or a row of a draft before it was not sampled"
	want := func(err error, text string) {
		t.Helper()
		if err == nil || err.Error() != text {
			t.Errorf("%v, want %s", err, text)
		}
	}
	p := params(mirostat, 2)
	want(status(rowCase{seq: 4, params: p}), early)
	want(c.accept(4, 0, 1), unknown)
	want(c.rollback(4, 0), unknown)
	want(c.call("fork", func(f abi.Seq) { f.SetSeq(5); f.SetParent(4) }), unknown)
	if err := c.begin(4); err != nil {
		t.Fatal(err)
	}
	want(status(rowCase{seq: 4, params: p, draft: 1}), early)
	want(status(rowCase{seq: 4, params: p, draft: 64}), early)
	want(status(rowCase{seq: 4, params: p, draft: -1}), early)
	if err := c.accept(4, abi.SeqFlagPrompt, 1, 2, 3); err != nil {
		t.Fatal(err)
	}
	want(c.rollback(4, 4), "err_state: more tokens are taken back than were accepted")
	want(c.call("fork", func(f abi.Seq) { f.SetSeq(4); f.SetParent(4) }), "err_state: a sequence cannot be forked to itself")
	state, used, err := c.save(4, bufferCap)
	if err != nil || used != 16 {
		t.Fatalf("a state of %d bytes, %v", used, err)
	}
	if _, used, err := c.save(4, 15); used != 16 || err != nil {
		t.Errorf("too little room: used %d, %v", used, err)
	}
	for _, bad := range [][]byte{nil, state[:15], append(slices.Clone(state), 0), {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0}} {
		want(c.restore(6, bad), "err_arg: these are not a saved state's bytes")
	}
	if err := c.rollback(4, 3); err != nil {
		t.Error(err)
	}
}

// Ensure that sequences that came and went leave no memory behind.
func TestMirostat_Memory(t *testing.T) {
	c := openMirostat(t, 50)
	tokens := make([]uint32, 1000)
	turn := func() {
		for seq := range uint64(200) {
			if err := c.begin(seq); err != nil {
				t.Fatal(err)
			}
			for range seq % 7 {
				if err := c.accept(seq, 0, tokens...); err != nil {
					t.Fatal(err)
				}
			}
		}
		for seq := range uint64(200) {
			if err := c.call("end", func(f abi.Seq) { f.SetSeq((seq * 77) % 200) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	turn()
	before := c.MemorySize()
	for range 20 {
		turn()
	}
	if after := c.MemorySize(); after != before {
		t.Errorf("memory grew from %d to %d bytes", before, after)
	}
}
