// Command gen makes the host's accessors, the C header and the op vocabulary from abi/v1.toml.
// It runs in the folder abi: go generate ./abi
package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/format"
	"os"
	"strings"

	"github.com/BurntSushi/toml"
)

// Spec is abi/v1.toml.
type Spec struct {
	ABI struct {
		Name         string
		Major, Minor int
		Section      string
	}
	Wasm struct {
		Features       []string
		MaxModuleBytes int `toml:"max_module_bytes"`
		PageBytes      int `toml:"page_bytes"`
		ArenaAlign     int `toml:"arena_align"`
		Tank           int
	}
	Manifest struct {
		Keys []struct {
			Name, Type, Doc string
			Required        bool
		}
	}
	Status []struct {
		Name, Doc string
		Value     int
	}
	Capability []struct {
		Name, Doc string
		Bit       int
		Imports   []struct {
			Module, Name    string
			Params, Results []string
		}
	}
	Struct []Struct
	Enum   []struct {
		Name, Doc string
		Values    []struct {
			Name, Doc string
			Value     int
		}
	}
	Export []struct {
		Name, Frame, Doc string
		Kinds            []string
		Required         bool
	}
	Kind []struct {
		Name, Marker, Element string
		MaxPages              int `toml:"max_pages"`
		Fuel                  struct{ Init, Base, Per, Text int64 }
	}
	Generator  struct{ Name, Source, Doc string }
	Op         []Op
	OpReserved []struct {
		First, Last int
		Doc         string
		Attr        []struct {
			Name string
			Slot int
		}
	} `toml:"op_reserved"`
}

// Struct is a record or frame.
type Struct struct {
	Name, Doc string
	Size      int
	Fields    []Field
}

// Field of a Struct.
type Field struct {
	Name, Type, Of, Dir, Doc string
	At                       int
}

// Op is an operation of programs.
type Op struct {
	Name, Shape, Doc string
	Code             int
	In, W, Out       []string
	Attr             []struct {
		Name, Type, Doc string
		Default         any
	}
}

var initialisms = map[string]string{"id": "ID", "ids": "IDs", "kv": "KV", "abi": "ABI", "rms": "RMS", "bos": "BOS", "eos": "EOS", "glu": "GLU", "silu": "SiLU", "gelu": "GELU", "relu": "ReLU", "nomem": "NoMem", "eog": "EOG", "wasi": "WASI"}

// camel turns snake_case into MixedCaps.
func camel(s string) string {
	var b strings.Builder
	for _, w := range strings.Split(s, "_") {
		if v, ok := initialisms[w]; ok {
			b.WriteString(v)
		} else if w != "" {
			b.WriteString(strings.ToUpper(w[:1]) + w[1:])
		}
	}
	return b.String()
}

func main() {
	s, err := read("v1.toml")
	check(err)
	files, err := s.files()
	check(err)
	for path, b := range files {
		check(os.WriteFile(path, b, 0o644))
	}
}

// read decodes a definition and holds it to its own rules.
func read(path string) (*Spec, error) {
	s := new(Spec)
	md, err := toml.DecodeFile(path, s)
	if err != nil {
		return nil, err
	}
	if u := md.Undecoded(); len(u) > 0 {
		return nil, fmt.Errorf("%s: unknown keys %v", path, u)
	}
	if err := s.verify(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// files are the generated files by their path from the folder abi.
func (s *Spec) files() (map[string][]byte, error) {
	files := map[string][]byte{"gen_abi.go": s.goABI(), "../kernels/gen_op.go": s.goOps(), "../plugins/sdk/c/forge.h": s.cHeader()}
	for path, src := range files {
		if !strings.HasSuffix(path, ".go") {
			continue
		}
		out, err := format.Source(src)
		if err != nil {
			return nil, fmt.Errorf("%s: %w in:\n%s", path, err, src)
		}
		files[path] = out
	}
	return files, nil
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "abi/gen:", err)
		os.Exit(1)
	}
}

// width is a field's bytes and alignment.
func (s *Spec) width(t string) (size, align int, err error) {
	base, n := t, 1
	if i := strings.IndexByte(t, '['); i >= 0 {
		base = t[:i]
		if _, err := fmt.Sscanf(t[i:], "[%d]", &n); err != nil {
			return 0, 0, fmt.Errorf("type %q: %w", t, err)
		}
	}
	switch base {
	case "u32", "i32", "f32", "ptr":
		return 4 * n, 4, nil
	case "u64", "i64", "f64":
		return 8 * n, 8, nil
	case "span":
		return 8 * n, 4, nil
	}
	for _, st := range s.Struct {
		if st.Name == base {
			return st.Size * n, 8, nil
		}
	}
	return 0, 0, fmt.Errorf("unknown type %q", t)
}

// verify holds the definition to its own rules: offsets ascend, are aligned and fit; numbers are used once.
func (s *Spec) verify() error {
	for _, st := range s.Struct {
		end := 0
		for _, f := range st.Fields {
			size, align, err := s.width(f.Type)
			if err != nil {
				return fmt.Errorf("%s.%s: %w", st.Name, f.Name, err)
			}
			if f.At < end || f.At%align != 0 {
				return fmt.Errorf("%s.%s: offset %d overlaps or is not aligned to %d (previous field ends at %d)", st.Name, f.Name, f.At, align, end)
			}
			end = f.At + size
		}
		if end > st.Size || st.Size%8 != 0 {
			return fmt.Errorf("%s: fields end at %d, size is %d (a multiple of 8)", st.Name, end, st.Size)
		}
	}
	if err := s.verifyNumbers(); err != nil {
		return err
	}
	codes := map[int]string{}
	for _, op := range s.Op {
		if was, ok := codes[op.Code]; ok {
			return fmt.Errorf("op %s has the code of %s", op.Name, was)
		}
		codes[op.Code] = op.Name
		if len(op.In) > 4 || len(op.Out) > 2 || len(op.W) > 8 || len(op.Attr) > 16 {
			return fmt.Errorf("op %s does not fit the op record", op.Name)
		}
		for _, r := range s.OpReserved {
			if op.Code >= r.First && op.Code <= r.Last {
				return fmt.Errorf("op %s takes a reserved code", op.Name)
			}
		}
	}
	return nil
}

// verifyNumbers wants every name and every number once, in its list.
func (s *Spec) verifyNumbers() error {
	lists := map[string]*uniques{}
	add := func(list, name string, number int) error {
		u := lists[list]
		if u == nil {
			u = &uniques{names: map[string]bool{}, numbers: map[int]string{}}
			lists[list] = u
		}
		return u.add(list, name, number)
	}
	var errs []error
	for _, v := range s.Status {
		errs = append(errs, add("status", v.Name, v.Value))
	}
	for _, v := range s.Capability {
		errs = append(errs, add("capability", v.Name, v.Bit))
		if v.Bit < 0 || v.Bit > 63 {
			errs = append(errs, fmt.Errorf("capability %s: bit %d does not fit a u64", v.Name, v.Bit))
		}
	}
	for _, e := range s.Enum {
		for _, v := range e.Values {
			errs = append(errs, add("enum "+e.Name, v.Name, v.Value))
		}
	}
	frames := map[string]bool{"": true}
	for i, st := range s.Struct {
		errs = append(errs, add("struct", st.Name, i))
		for k, f := range st.Fields {
			errs = append(errs, add("struct "+st.Name, f.Name, k))
			if f.Name == "head" {
				frames[st.Name] = true
			}
		}
	}
	kinds := map[string]bool{"*": true}
	for i, k := range s.Kind {
		errs = append(errs, add("kind", k.Name, i), add("marker", k.Marker, i))
		kinds[k.Name] = true
		if want := fmt.Sprintf("forge_%s_%d", k.Name, s.ABI.Major); k.Marker != want {
			errs = append(errs, fmt.Errorf("kind %s: marker %s, want %s", k.Name, k.Marker, want))
		}
	}
	for i, e := range s.Export {
		errs = append(errs, add("export", e.Name, i))
		if !frames[e.Frame] {
			errs = append(errs, fmt.Errorf("export %s: %q is no frame", e.Name, e.Frame))
		}
		for _, k := range e.Kinds {
			if !kinds[k] {
				errs = append(errs, fmt.Errorf("export %s: unknown kind %q", e.Name, k))
			}
		}
	}
	return errors.Join(errs...)
}

// uniques are the names and numbers of one list.
type uniques struct {
	names   map[string]bool
	numbers map[int]string
}

func (u *uniques) add(list, name string, number int) error {
	if was, ok := u.numbers[number]; ok {
		return fmt.Errorf("%s %s has the number %d of %s", list, name, number, was)
	}
	if u.names[name] {
		return fmt.Errorf("%s has %s twice", list, name)
	}
	u.names[name], u.numbers[number] = true, name
	return nil
}

const header = "// Code generated by `go generate ./abi` from abi/v1.toml. DO NOT EDIT.\n\n"

func comment(b *bytes.Buffer, indent, text string) {
	if text != "" {
		fmt.Fprintf(b, "%s// %s\n", indent, text)
	}
}
