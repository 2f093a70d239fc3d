package examples_test

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"forge/abi"
	"forge/host"
	"forge/host/plugin"
	"forge/kernels/simd"
)

// languages are the example folders that hold the margin sampler.
var languages = []string{"sampler-c", "sampler-rust", "sampler-assemblyscript", "sampler-go"}

// margin gives a language's module: the committed one or, where none is, one built now.
func margin(t *testing.T, folder string) []byte {
	t.Helper()
	if folder != "sampler-go" { // 1.8 MB are not committed
		wasm, err := os.ReadFile(filepath.Join(folder, "margin.wasm"))
		if err != nil {
			t.Fatal(err)
		}
		return wasm
	}
	file := filepath.Join(t.TempDir(), "margin.wasm")
	if out, err := exec.Command("../plugins/sdk/go/build.sh", folder, file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return stamped(t, folder, file)
}

// stamped gives a module with its folder's manifest.
func stamped(t *testing.T, folder, file string) []byte {
	t.Helper()
	wasm, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile(filepath.Join(folder, "manifest.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if wasm, err = plugin.Stamp(wasm, manifest); err != nil {
		t.Fatal(err)
	}
	return wasm
}

// candidates is a table: no ids while it is the whole row.
type candidates struct {
	logits []float32
	ids    []uint32
}

// marginCases are tables of all sorts, with the margin to apply.
func marginCases() (tables []candidates, margins []float64) {
	rng := rand.New(rand.NewPCG(7, 7))
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	odd := [][]float32{{3}, {1, 1, 1}, {-inf, -inf}, {nan, 2, nan, 1}, {inf, 5, inf}, {float32(math.Copysign(0, -1)), 0, -5}, {nan}, {1, 0.75, 0.5}}
	for i, logits := range odd {
		tables, margins = append(tables, candidates{logits: logits}), append(margins, float64(i%4)/4)
	}
	for i := range 24 {
		c := candidates{logits: make([]float32, 1+rng.IntN(700))}
		for k := range c.logits {
			c.logits[k] = float32(rng.NormFloat64() * 4)
		}
		if i%2 == 1 {
			for range c.logits {
				c.ids = append(c.ids, rng.Uint32N(1<<20))
			}
		}
		tables, margins = append(tables, c), append(margins, rng.Float64()*8)
	}
	return tables, margins
}

// Ensure that the sampler in every language makes of each table what its formula says, bit for bit.
func TestLanguages(t *testing.T) {
	tables, margins := marginCases()
	for _, folder := range languages {
		t.Run(folder, func(t *testing.T) {
			g := newGuest(t, margin(t, folder))
			for i, c := range tables {
				best := float32(math.Inf(-1))
				for _, x := range c.logits {
					if x > best {
						best = x
					}
				}
				var want candidates
				for k, x := range c.logits {
					if x < best-float32(margins[i]) {
						continue
					}
					id := uint32(k)
					if c.ids != nil {
						id = c.ids[k]
					}
					want.logits, want.ids = append(want.logits, x), append(want.ids, id)
				}
				got := g.narrow(c, margins[i])
				same := func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }
				if !slices.Equal(got.ids, want.ids) || !slices.EqualFunc(got.logits, want.logits, same) {
					t.Errorf("table %d, margin %g: %v, want %v", i, margins[i], got, want)
				}
			}
		})
	}
}

// guest is a sampler called without the host, so that a Go guest can be compared by what it computes alone.
type guest struct {
	t     *testing.T
	mod   api.Module
	arena uint32
}

const room = 4096 // bytes of the arena for frames; logits and ids follow, 64 KiB each

func newGuest(t *testing.T, wasm []byte) *guest {
	t.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	t.Cleanup(func() { rt.Close(ctx) })
	wasi_snapshot_preview1.MustInstantiate(ctx, rt)
	mod, err := rt.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{t: t, mod: mod}
	g.arena = g.call("forge_arena", room+2*65536)
	if g.arena == 0 || g.arena%abi.ArenaAlign != 0 {
		t.Fatalf("the arena lies at %#x", g.arena)
	}
	abi.Init(g.frame(abi.InitSize)).SetMajor(abi.Major)
	if status := g.call("forge_init", g.arena); status != 0 {
		t.Fatalf("forge_init gives %d", int32(status))
	}
	return g
}

func (g *guest) call(name string, arg uint32) uint32 {
	res, err := g.mod.ExportedFunction(name).Call(context.Background(), uint64(arg))
	if err != nil {
		g.t.Fatalf("%s: %v", name, err)
	}
	return uint32(res[0])
}

func (g *guest) at(offset, n uint32) []byte {
	b, ok := g.mod.Memory().Read(g.arena+offset, n)
	if !ok {
		g.t.Fatalf("memory ends before %#x", g.arena+offset+n)
	}
	return b
}

func (g *guest) frame(size uint32) []byte {
	b := g.at(0, size)
	clear(g.at(0, room))
	abi.Head(b).SetSize(size)
	return b
}

// narrow calls sampler_margin with one row.
func (g *guest) narrow(c candidates, margin float64) candidates {
	const row, params, logits, ids = 1024, 2048, room, room + 65536
	f := abi.Rows(g.frame(abi.RowsSize))
	f.SetNRows(1)
	f.SetRows(g.arena + row)
	f.SetNVocab(uint32(len(c.logits)))
	r := abi.Row(g.at(row, abi.RowSize))
	r.SetN(uint32(len(c.logits)))
	r.SetLogits(g.arena + logits)
	r.SetIDs(g.arena + ids)
	r.SetSelected(-1)
	r.SetParams(g.arena+params, 1)
	binary.LittleEndian.PutUint64(g.at(params, 8), math.Float64bits(margin))
	if c.ids == nil {
		r.SetFlags(uint32(abi.RowFlagWhole))
	}
	for i, x := range c.logits {
		binary.LittleEndian.PutUint32(g.at(logits+4*uint32(i), 4), math.Float32bits(x))
	}
	for i, id := range c.ids {
		binary.LittleEndian.PutUint32(g.at(ids+4*uint32(i), 4), id)
	}
	if status := g.call("sampler_margin", g.arena); status != 0 {
		g.t.Fatalf("sampler_margin gives %d", int32(status))
	}
	r = abi.Row(g.at(row, abi.RowSize)) // the memory may have grown
	if r.Flags()&uint32(abi.RowFlagWhole) != 0 {
		g.t.Error("a narrowed table is called whole")
	}
	var out candidates
	for i := range r.N() {
		out.logits = append(out.logits, math.Float32frombits(binary.LittleEndian.Uint32(g.at(logits+4*i, 4))))
		out.ids = append(out.ids, binary.LittleEndian.Uint32(g.at(ids+4*i, 4)))
	}
	return out
}

// Ensure that a text is the same with the sampler in every language.
func TestLanguages_Tokens(t *testing.T) {
	want := ""
	for _, folder := range languages {
		spec := plugin.Spec{Name: "margin", Kind: "sampler", Wasm: margin(t, folder)}
		if folder == "sampler-go" {
			spec.Grants = []string{"wasi"}
		}
		e := openSpec(t, stories, spec, simd.New())
		ctx := context.Background()
		prompt, err := e.Tokenize(ctx, "Once upon", true)
		if err != nil {
			t.Fatal(err)
		}
		res, err := e.Generate(ctx, &host.Request{Prompt: prompt, MaxTokens: 60, Samplers: []string{"margin", "dist"}, Settings: map[string]any{"margin": 2.5}, Seed: 5})
		if err != nil {
			t.Fatalf("%s: %v", folder, err)
		}
		if want == "" {
			want = res.Text
		}
		if res.Text != want || want == "" {
			t.Errorf("%s writes %q, %s %q", folder, res.Text, languages[0], want)
		}
	}
}
