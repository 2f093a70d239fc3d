package plugins_test

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"

	"forge/abi"
	"forge/plugins/internal/guesttest"
)

// Settings of the shipped samplers.
const (
	temp = iota
	topK
	topP
	minP
	repeatPenalty
	repeatLastN
	frequencyPenalty
	presencePenalty
	dynatempRange
	dynatempExponent
	typicalP
	topNSigma
	xtcProbability
	xtcThreshold
	dryMultiplier
	dryBase
	dryAllowedLength
	dryPenaltyLastN
	drySequenceBreakers
	logitBias
	minTokens
	ignoreEOS
	mirostat
	mirostatTau
	mirostatEta
	nParams
)

var settingNames = [nParams]string{"temp", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n", "frequency_penalty", "presence_penalty",
	"dynatemp_range", "dynatemp_exponent", "typical_p", "top_n_sigma", "xtc_probability", "xtc_threshold", "dry_multiplier", "dry_base",
	"dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers", "logit_bias", "min_tokens", "ignore_eos", "mirostat", "mirostat_tau", "mirostat_eta"}

// Slots of row.params for each module, in its manifest's order.
var slotsOf = map[string][]int{
	"sampler": {temp, topK, topP, minP, repeatPenalty, repeatLastN, frequencyPenalty, presencePenalty, dynatempRange, dynatempExponent, typicalP,
		topNSigma, xtcProbability, xtcThreshold, logitBias},
	"text":     {dryMultiplier, dryBase, dryAllowedLength, dryPenaltyLastN, drySequenceBreakers, minTokens, ignoreEOS},
	"mirostat": {temp, mirostat, mirostatTau, mirostatEta},
}

// A table is a row as a sampler sees it; ids nil: the whole row.
type table struct {
	logits   []float32
	ids      []uint32
	sorted   bool
	selected int32
	stop     bool
	draw     uint64
	status   abi.Status
}

// A rowCase is what goes in beside the table.
type rowCase struct {
	seed, draw uint64
	history    []uint32
	params     [nParams]float64
	breakers   string // the slot drySequenceBreakers
	bias       string // the slot logitBias
	nPrompt    int    // the rest of the history was generated
	seq        uint64
	draft      int
}

// params gives the defaults, changed by the slot, value pairs.
func params(pairs ...float64) (p [nParams]float64) {
	p = [nParams]float64{0.8, 40, 0.95, 0.05, 1, 64, 0, 0, 0, 1, 1, -1, 0, 0.1, 0, 1.75, 2, -1, 0, 0, 0, 0, 0, 5, 0.1}
	for i := 0; i < len(pairs); i += 2 {
		p[int(pairs[i])] = pairs[i+1]
	}
	return p
}

// A chain is the sampler guest with room for one row.
type chain struct {
	*guesttest.Guest
	nVocab           uint32
	frame            uint32
	row, logits, ids uint32
	history, params  uint32
	text, top        uint32
	wantTop          uint32 // chances that runs ask for
	slots            []int
	names            map[string]string
	tb               testing.TB
}

const (
	maxHistory = 4096
	maxText    = 4096
	maxTop     = 128
)

// A words is a vocabulary for the tests: what each token adds to a text, and which of them end one.
type words struct {
	texts []string
	eog   []uint32
}

func openChain(tb testing.TB, nVocab int) *chain {
	return openChainWith(tb, wazero.NewRuntimeConfigCompiler(), "sampler", nVocab, nil)
}

// openModule is openChain of another module, without a vocabulary.
func openModule(tb testing.TB, module string, nVocab int) *chain {
	return openChainWith(tb, wazero.NewRuntimeConfigCompiler(), module, nVocab, nil)
}

// openWords is openChain of the module text, with a vocabulary.
func openWords(tb testing.TB, w *words) *chain {
	return openChainWith(tb, wazero.NewRuntimeConfigCompiler(), "text", len(w.texts), w)
}

func openChainWith(tb testing.TB, config wazero.RuntimeConfig, module string, nVocab int, w *words) *chain {
	tb.Helper()
	c := &chain{tb: tb, nVocab: uint32(nVocab), names: map[string]string{}, slots: slotsOf[module]}
	c.Guest = guesttest.OpenWith(tb, config, "sampler/"+module+".wasm", uint32(64*nVocab)+1<<18, func(g *guesttest.Guest, f abi.Init) {
		f.SetNVocab(uint32(nVocab))
		f.SetMaxRows(1)
		f.SetOffered(abi.CapHistory | abi.CapLogprobs)
		f.SetConfig(g.Alloc(uint32(8*len(c.slots))), uint32(len(c.slots)))
		if w != nil {
			f.SetOffered(abi.CapHistory | abi.CapVocab)
			f.SetVocab(w.put(g))
		}
	})
	c.row = c.Alloc(abi.RowSize)
	c.logits = c.Alloc(uint32(4 * nVocab))
	c.ids = c.Alloc(uint32(4 * nVocab))
	c.history = c.Alloc(4 * maxHistory)
	c.params = c.Alloc(uint32(8 * len(c.slots)))
	c.text = c.Alloc(maxText)
	c.top = c.Alloc(maxTop * abi.LogprobSize)
	at, frame := c.Frame(abi.RowsSize)
	c.frame = at
	f := abi.Rows(frame)
	f.SetNRows(1)
	f.SetRows(c.row)
	f.SetNVocab(uint32(nVocab))
	return c
}

// put lays the vocabulary out as the host does.
func (w *words) put(g *guesttest.Guest) uint32 {
	var texts []byte
	offsets := []uint32{0}
	for _, s := range w.texts {
		texts = append(texts, s...)
		offsets = append(offsets, uint32(len(texts)))
	}
	at := g.Alloc(abi.VocabSize)
	v := abi.Vocab(g.Bytes(at, abi.VocabSize))
	v.SetN(uint32(len(w.texts)))
	v.SetPieces(g.Put(texts))
	put := func(x []uint32) uint32 {
		at, _ := g.Put(idBytes(x))
		return at
	}
	v.SetPieceOffsets(put(offsets))
	v.SetEOG(put(w.eog), uint32(len(w.eog)))
	return at
}

func floatBytes(x []float32) []byte {
	b := make([]byte, 0, 4*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func idBytes(x []uint32) []byte {
	b := make([]byte, 0, 4*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// load fills the row.
func (c *chain) load(t table, rc rowCase) {
	r := abi.Row(c.Bytes(c.row, abi.RowSize))
	clear(r)
	r.SetSeq(rc.seq)
	r.SetDraft(int32(rc.draft))
	r.SetSeed(rc.seed)
	r.SetDraw(rc.draw)
	r.SetN(uint32(len(t.logits)))
	flags := uint32(0)
	if t.ids == nil {
		flags |= uint32(abi.RowFlagWhole)
	}
	if t.sorted {
		flags |= uint32(abi.RowFlagSorted)
	}
	r.SetFlags(flags)
	r.SetLogits(c.logits)
	r.SetIDs(c.ids)
	r.SetSelected(-1)
	r.SetHistory(c.history, uint32(len(rc.history)))
	r.SetNHistory(uint32(len(rc.history)))
	r.SetPos(uint32(len(rc.history)))
	r.SetNPrompt(uint32(rc.nPrompt))
	r.SetParams(c.params, uint32(len(c.slots)))
	if c.wantTop > 0 {
		r.SetTop(c.top)
		r.SetTopCap(c.wantTop)
	}
	copy(c.Bytes(c.logits, 4*c.nVocab), floatBytes(t.logits))
	copy(c.Bytes(c.ids, 4*c.nVocab), idBytes(t.ids))
	copy(c.Bytes(c.history, 4*maxHistory), idBytes(rc.history))
	slots := c.Bytes(c.params, uint32(8*len(c.slots)))
	for i, setting := range c.slots {
		bits := math.Float64bits(rc.params[setting])
		if text := map[int]string{drySequenceBreakers: rc.breakers, logitBias: rc.bias}[setting]; text != "" { // a module has one
			copy(c.Bytes(c.text, maxText), text)
			bits = uint64(len(text))<<32 | uint64(c.text)
		}
		binary.LittleEndian.PutUint64(slots[8*i:], bits)
	}
}

// step calls one sampler on the loaded row.
func (c *chain) step(name string) abi.Status {
	export := c.names[name]
	if export == "" {
		export = "sampler_" + name
		c.names[name] = export
	}
	status, err := c.Status(export, c.frame)
	if err != nil {
		c.tb.Fatal(err)
	}
	return status
}

// read takes the row back.
func (c *chain) read() table {
	r := abi.Row(c.Bytes(c.row, abi.RowSize))
	t := table{selected: r.Selected(), draw: r.Draw()}
	t.sorted = r.Flags()&uint32(abi.RowFlagSorted) != 0
	t.stop = r.Flags()&uint32(abi.RowFlagStop) != 0
	n := r.N()
	t.logits = make([]float32, n)
	b := c.Bytes(c.logits, 4*n)
	for i := range t.logits {
		t.logits[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	if r.Flags()&uint32(abi.RowFlagWhole) == 0 {
		t.ids = make([]uint32, n)
		b := c.Bytes(c.ids, 4*n)
		for i := range t.ids {
			t.ids[i] = binary.LittleEndian.Uint32(b[4*i:])
		}
	}
	return t
}

// A chance is one candidate with the logarithm of its probability.
type chance struct {
	id      uint32
	logprob float64
}

// told gives what the sampler that picked said of its pick and of the most probable candidates.
func (c *chain) told() (logprob float64, top []chance) {
	r := abi.Row(c.Bytes(c.row, abi.RowSize))
	for i := range r.NTop() {
		l := abi.Logprob(c.Bytes(c.top+i*abi.LogprobSize, abi.LogprobSize))
		top = append(top, chance{l.ID(), float64(l.Logprob())})
	}
	return float64(r.Logprob()), top
}

// run loads, calls the samplers in order, and reads.
func (c *chain) run(t table, rc rowCase, names ...string) table {
	c.load(t, rc)
	var status abi.Status
	for _, name := range names {
		status = c.step(name)
	}
	out := c.read()
	out.status = status
	return out
}

// id gives candidate i's token.
func (t table) id(i int) uint32 {
	if t.ids == nil {
		return uint32(i)
	}
	return t.ids[i]
}

// ---- the plain formulas, in float64 -----------------------------------------------------------------------------------

func value(x float32) float64 {
	if x != x {
		return math.Inf(-1)
	}
	return float64(x)
}

// ranked gives a table's indices, highest logit first and of equal ones the lowest id.
func ranked(t table) []int {
	order := make([]int, len(t.logits))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		if x, y := value(t.logits[a]), value(t.logits[b]); x != y {
			if x > y {
				return -1
			}
			return 1
		}
		return int(t.id(a)) - int(t.id(b))
	})
	return order
}

// softmax gives the probabilities in the order of the table.
func softmax(t table) []float64 {
	top := math.Inf(-1)
	for _, x := range t.logits {
		top = max(top, value(x))
	}
	p, sum := make([]float64, len(t.logits)), 0.0
	for i, x := range t.logits {
		switch v := value(x); {
		case v == top:
			p[i] = 1
		case !math.IsInf(v, -1):
			p[i] = math.Exp(v - top)
		}
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}
