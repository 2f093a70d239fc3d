package plugin

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"forge/abi/spec"
	"forge/host/plugin/hostile"
	w "forge/host/plugin/wasmtest"
)

// frameWord is a word that a guest may write over: in the frame of a call, or, if ptr is not negative, in the first record
// that the frame's word at ptr points to.
type frameWord struct {
	name    string
	ptr, at int
}

// frameWords are all words of a frame and of the records that it points to, by the ABI's definition.
func frameWords(s *spec.Spec, frame string) []frameWord {
	structs := map[string]*spec.Struct{}
	for i := range s.Struct {
		structs[s.Struct[i].Name] = &s.Struct[i]
	}
	words := func(st *spec.Struct, prefix string, ptr int) (list []frameWord) {
		for at := 0; at < st.Size; at += 4 {
			list = append(list, frameWord{fmt.Sprintf("%s+%d", prefix, at), ptr, at})
		}
		return list
	}
	list := words(structs[frame], frame, -1)
	for _, f := range structs[frame].Fields {
		if of := structs[f.Of]; of != nil {
			list = append(list, words(of, frame+"."+f.Name, f.At)...)
		}
	}
	return list
}

// Ensure that whatever a guest writes over any word of any frame, and of the records that frames point to, ends in an
// answer or in one sentence: no span, id, count or place in there is taken on trust.
func TestEveryWord(t *testing.T) {
	toml, err := os.ReadFile("../../abi/v1.toml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := spec.Parse("v1.toml", toml)
	if err != nil {
		t.Fatal(err)
	}
	values := []int64{-1, 0x7fffffff, 1, -0x80000000, 0x7fc00000, 65536, -64}
	r := newRuntime(t, RuntimeOptions{Log: func(string, string) {}})
	tried, stopped := 0, 0
	for _, kind := range s.Kind {
		good := hostile.Good(kind.Name)
		if reached, err := useGuest(r, kind.Name, good.Build()); err != nil || !reached {
			t.Fatalf("the good %s: %v, %v", kind.Name, reached, err)
		}
		for _, e := range s.Export {
			i := slices.IndexFunc(good.Funcs, func(f w.Func) bool { return strings.Replace(e.Name, "*", hostile.Entry, 1) == f.Name })
			stateful := strings.Contains(good.Manifest, "state")
			if i < 0 || e.Frame == "" || e.Frame == "seq" && !stateful { // which nobody calls
				continue
			}
			for n, word := range frameWords(s, e.Frame) {
				for k, v := range values {
					if os.Getenv("FORGE_TEST_ALL") == "" && k != (n+i)%len(values) {
						continue
					}
					bad := good
					bad.Funcs = slices.Clone(good.Funcs)
					code := good.Funcs[i].Code // it ends with the status, two bytes
					bad.Funcs[i].Code = w.OK(code[:len(code)-2], w.Store32(word.ptr, word.at, v))
					_, err := useGuest(r, kind.Name, bad.Build())
					tried++
					if err != nil {
						stopped++
						if text := err.Error(); strings.ContainsAny(text, "\n\x1b") || len(text) > 600 || !strings.HasPrefix(text, "plugin x: ") {
							t.Errorf("%s: %s writes %#x to %s: %q", kind.Name, e.Name, v, word.name, text)
						}
					}
				}
			}
		}
	}
	t.Logf("%d words written over, %d of them end in an error", tried, stopped)
	// Most words are the host's own to fill, and it reads none of those again.
	if tried < 800 || stopped < 30 {
		t.Error("that is too few to say anything")
	}
}

// useGuest loads a guest with all grants and calls what it has.
func useGuest(r *Runtime, kind string, wasm []byte) (reached bool, err error) {
	m, err := r.Load(ctx, Spec{Name: "x", Kind: kind, Wasm: wasm, Grants: []string{"history", "vocab", "logprobs"}})
	if err != nil {
		return false, err
	}
	soon, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return use(soon, m)
}
