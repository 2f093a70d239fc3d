package test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"forge/abi"
	"forge/gguf"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// vocabulary is what the host puts into the vocab record.
type vocabulary struct {
	texts         []string
	scores        []float32
	types         []int32
	merges        []string
	model, pre    string
	bos, eos, unk int32
	addSpace      int32
}

// guest is one instance of a tokenizer with raw frames.
type guest struct {
	mod                            api.Module
	encodeFn, decodeFn, initFn     api.Function
	frame, errSlot, vocab, in, out uint32
	inCap, outCap                  uint32
}

const (
	errCap   = 512
	frameCap = 256
)

var engine = wazero.NewRuntimeWithConfig(context.Background(), wazero.NewRuntimeConfigCompiler().WithMemoryLimitPages(4096))
var compiled = map[string]wazero.CompiledModule{}

func compile(t testing.TB, name string) wazero.CompiledModule {
	t.Helper()
	if m, ok := compiled[name]; ok {
		return m
	}
	code, err := os.ReadFile(filepath.Join("..", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := engine.CompileModule(context.Background(), code)
	if err != nil {
		t.Fatalf("%s.wasm: %v", name, err)
	}
	compiled[name] = m
	return m
}

// newGuest instantiates name.wasm without calling forge_init; inCap and outCap are the windows in bytes.
func newGuest(t testing.TB, name string, v *vocabulary, inCap, outCap int) *guest {
	t.Helper()
	mod, err := engine.InstantiateModule(context.Background(), compile(t, name), wazero.NewModuleConfig().WithName(""))
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{mod: mod, encodeFn: mod.ExportedFunction("tokenizer_encode"), decodeFn: mod.ExportedFunction("tokenizer_decode"), initFn: mod.ExportedFunction("forge_init"),
		inCap: uint32(inCap), outCap: uint32(outCap)}
	var image []byte // what lies in the arena, at offset 0
	place := func(b []byte) uint32 {
		for len(image)%64 != 0 {
			image = append(image, 0)
		}
		image = append(image, b...)
		return uint32(len(image) - len(b))
	}
	join := func(texts []string) (offsets, all []byte) {
		for _, s := range texts {
			offsets = binary.LittleEndian.AppendUint32(offsets, uint32(len(all)))
			all = append(all, s...)
		}
		return binary.LittleEndian.AppendUint32(offsets, uint32(len(all))), all
	}
	frame := place(make([]byte, frameCap))
	slot := place(make([]byte, errCap))
	record := place(make([]byte, abi.VocabSize))
	offsets, texts := join(v.texts)
	offsetsAt, textsAt := place(offsets), place(texts)
	var scores, types []byte
	for _, s := range v.scores {
		scores = binary.LittleEndian.AppendUint32(scores, math.Float32bits(s))
	}
	for _, s := range v.types {
		types = binary.LittleEndian.AppendUint32(types, uint32(s))
	}
	scoresAt, typesAt := place(scores), place(types)
	mergeOffsets, merges := join(v.merges)
	mergeOffsetsAt, mergesAt := place(mergeOffsets), place(merges)
	modelAt, preAt := place([]byte(v.model)), place([]byte(v.pre))
	in, out := place(make([]byte, inCap)), place(make([]byte, outCap))
	res, err := mod.ExportedFunction("forge_arena").Call(context.Background(), uint64(len(image)))
	if err != nil || res[0] == 0 {
		t.Fatalf("forge_arena: %v %v", res, err)
	}
	base := uint32(res[0])
	r := abi.Vocab(image[record : record+abi.VocabSize])
	r.SetN(uint32(len(v.texts)))
	r.SetOffsets(base + offsetsAt)
	r.SetTexts(base+textsAt, uint32(len(texts)))
	if v.scores != nil {
		r.SetScores(base + scoresAt)
	}
	if v.types != nil {
		r.SetTypes(base + typesAt)
	}
	r.SetNMerges(uint32(len(v.merges)))
	if v.merges != nil {
		r.SetMergeOffsets(base + mergeOffsetsAt)
		r.SetMerges(base+mergesAt, uint32(len(merges)))
	}
	r.SetModel(base+modelAt, uint32(len(v.model)))
	r.SetPre(base+preAt, uint32(len(v.pre)))
	r.SetBOS(v.bos)
	r.SetEOS(v.eos)
	r.SetUnk(v.unk)
	r.SetSep(-1)
	r.SetPad(-1)
	r.SetAddSpacePrefix(v.addSpace)
	r.SetRemoveExtraWhitespaces(-1)
	if !mod.Memory().Write(base, image) {
		t.Fatal("the arena lies outside memory")
	}
	g.frame, g.errSlot, g.vocab, g.in, g.out = base+frame, base+slot, base+record, base+in, base+out
	return g
}

func (g *guest) close() { g.mod.Close(context.Background()) }

func (g *guest) view(t testing.TB, at, n uint32) []byte {
	b, ok := g.mod.Memory().Read(at, n)
	if !ok {
		t.Fatalf("%d bytes at %d lie outside memory", n, at)
	}
	return b
}

func (g *guest) call(t testing.TB, fn api.Function, size int) error {
	t.Helper()
	h := abi.Head(g.view(t, g.frame, abi.HeadSize))
	h.SetSize(uint32(size))
	h.SetErrorCap(errCap)
	h.SetErrorPtr(g.errSlot)
	h.SetErrorLen(0)
	res, err := fn.Call(context.Background(), uint64(g.frame))
	if err != nil {
		t.Fatalf("trap: %v", err)
	}
	if s := abi.Status(int32(res[0])); s < 0 {
		h = abi.Head(g.view(t, g.frame, abi.HeadSize))
		return fmt.Errorf("%v: %s", s, g.view(t, g.errSlot, h.ErrorLen()))
	}
	return nil
}

func (g *guest) init(t testing.TB, v *vocabulary) error {
	t.Helper()
	f := abi.Init(g.view(t, g.frame, abi.InitSize))
	clear(f)
	f.SetMajor(1)
	f.SetNVocab(uint32(len(v.texts)))
	f.SetVocab(g.vocab)
	return g.call(t, g.initFn, abi.InitSize)
}

// load gives a guest that is ready.
func load(t testing.TB, name string, v *vocabulary, inCap, outCap int) *guest {
	t.Helper()
	g := newGuest(t, name, v, inCap, outCap)
	if err := g.init(t, v); err != nil {
		t.Fatal(err)
	}
	if _, bench := t.(*testing.B); !bench {
		t.Cleanup(g.close)
	}
	return g
}

// encode tokenizes text in pieces of at most piece bytes with room for outLen ids a call.
func (g *guest) encode(t testing.TB, text string, special bool, piece func() int, outLen int) ([]uint32, error) {
	t.Helper()
	var ids []uint32
	first, state := abi.TextFlagFirst, uint32(0)
	for rest := text; ; {
		n := min(piece(), len(rest), int(g.inCap))
		f := abi.Text(g.view(t, g.frame, abi.TextSize))
		clear(f)
		flags := first
		if n == len(rest) {
			flags |= abi.TextFlagLast
		}
		if special {
			flags |= abi.TextFlagParseSpecial
		}
		copy(g.view(t, g.in, uint32(n)), rest)
		f.SetFlags(uint32(flags))
		f.SetInput(g.in, uint32(n))
		f.SetOutput(g.out)
		f.SetOutputCap(uint32(outLen))
		f.SetState(state)
		if err := g.call(t, g.encodeFn, abi.TextSize); err != nil {
			return nil, err
		}
		f = abi.Text(g.view(t, g.frame, abi.TextSize))
		if f.Consumed() > uint32(n) || f.OutputLen() > uint32(outLen) {
			t.Fatalf("consumed %d of %d, wrote %d of %d", f.Consumed(), n, f.OutputLen(), outLen)
		}
		for b := g.view(t, g.out, 4*f.OutputLen()); len(b) > 0; b = b[4:] {
			ids = append(ids, binary.LittleEndian.Uint32(b))
		}
		rest, first, state = rest[f.Consumed():], 0, f.State()
		if len(rest) == 0 && f.More() == 0 && flags&abi.TextFlagLast != 0 {
			return ids, nil
		}
	}
}

func whole() int { return math.MaxInt }

func (g *guest) mustEncode(t testing.TB, text string, special bool) []uint32 {
	t.Helper()
	ids, err := g.encode(t, text, special, whole, int(g.outCap/4))
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// decode gives the text of ids, piece ids and room for outLen bytes a call; every call's text is in calls.
func (g *guest) decode(t testing.TB, ids []uint32, skip bool, piece, outLen int) (text string, calls []string, err error) {
	t.Helper()
	if skip {
		return g.decodeWith(t, ids, abi.TextFlagSkipSpecial, piece, outLen)
	}
	return g.decodeWith(t, ids, 0, piece, outLen)
}

// decodeWith is decode with flags beside first and last.
func (g *guest) decodeWith(t testing.TB, ids []uint32, with abi.TextFlag, piece, outLen int) (text string, calls []string, err error) {
	t.Helper()
	first := abi.TextFlagFirst
	var state, carry, carryLen uint32
	for rest := ids; ; {
		n := min(piece, len(rest), int(g.inCap/4))
		f := abi.Text(g.view(t, g.frame, abi.TextSize))
		clear(f)
		flags := first | with
		if n == len(rest) {
			flags |= abi.TextFlagLast
		}
		in := g.view(t, g.in, uint32(4*n))
		for i, id := range rest[:n] {
			binary.LittleEndian.PutUint32(in[4*i:], id)
		}
		f.SetFlags(uint32(flags))
		f.SetInput(g.in, uint32(n))
		f.SetOutput(g.out)
		f.SetOutputCap(uint32(outLen))
		f.SetState(state)
		f.SetCarry(carry)
		f.SetCarryLen(carryLen)
		if err := g.call(t, g.decodeFn, abi.TextSize); err != nil {
			return text, calls, err
		}
		f = abi.Text(g.view(t, g.frame, abi.TextSize))
		s := string(g.view(t, g.out, f.OutputLen()))
		text += s
		calls = append(calls, s)
		rest, first = rest[f.Consumed():], 0
		state, carry, carryLen = f.State(), f.Carry(), f.CarryLen()
		if len(rest) == 0 && f.More() == 0 {
			return text, calls, nil
		}
	}
}

// shared finds a file of the shared folder; without it the test is skipped, unless FORGE_REQUIRE_SHARED=1.
func shared(t testing.TB, name string) string {
	t.Helper()
	return required(t, filepath.Join("..", "..", "..", "..", "shared", name))
}

// model finds one of the real models, likewise.
func model(t testing.TB, name string) string {
	t.Helper()
	return required(t, filepath.Join("..", "..", "..", "models", name))
}

func required(t testing.TB, path string) string {
	t.Helper()
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if os.Getenv("FORGE_REQUIRE_SHARED") == "1" {
			t.Fatalf("%s is missing, and FORGE_REQUIRE_SHARED=1", path)
		}
		t.Skipf("%s is missing, so this is not tested", path)
	}
	return path
}

// readVocabulary takes the vocabulary out of a GGUF file.
func readVocabulary(t testing.TB, path string) *vocabulary {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v := &vocabulary{addSpace: -1}
	str := func(key string) string {
		s, _, err := f.Str("tokenizer.ggml." + key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	id := func(key string) int32 {
		n, ok, err := f.Int("tokenizer.ggml." + key)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return -1
		}
		return int32(n)
	}
	v.model, v.pre = str("model"), str("pre")
	v.texts = elements(t, f, "tokens", gguf.Array.Strings)
	v.merges = elements(t, f, "merges", gguf.Array.Strings)
	for _, x := range elements(t, f, "scores", gguf.Array.Floats) {
		v.scores = append(v.scores, float32(x))
	}
	for _, x := range elements(t, f, "token_type", gguf.Array.Ints) {
		v.types = append(v.types, int32(x))
	}
	v.bos, v.eos, v.unk = id("bos_token_id"), id("eos_token_id"), id("unknown_token_id")
	if b, ok, err := f.Bool("tokenizer.ggml.add_space_prefix"); err != nil {
		t.Fatal(err)
	} else if ok {
		v.addSpace = 0
		if b {
			v.addSpace = 1
		}
	}
	return v
}

// elements copies an array of the tokenizer's, nil if the file has none.
func elements[T any](t testing.TB, f *gguf.File, key string, get func(gguf.Array) ([]T, error)) []T {
	t.Helper()
	a, ok, err := f.Array("tokenizer.ggml." + key)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return nil
	}
	all, err := get(a)
	if err != nil {
		t.Fatal(err)
	}
	return all
}
