package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// JSON is the definition in its canonical form: the same bytes for the same definition, comments and layout of the TOML file left
// out.
func (s *Spec) JSON() ([]byte, error) {
	b := new(bytes.Buffer)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(s)
	return b.Bytes(), err
}

// Names are what Show can show alone.
func (s *Spec) Names() []string {
	var names []string
	for _, it := range s.items() {
		names = append(names, it.name)
	}
	return names
}

// item is one thing of a definition as text.
type item struct {
	name string
	show func(w io.Writer)
}

// Show writes one thing of the definition (a kind, export, frame, record, enum or operation) as text. It tells whether there is
// such a thing.
func (s *Spec) Show(w io.Writer, name string) bool {
	found := false
	for _, it := range s.items() {
		if it.name != name {
			continue
		}
		if found {
			fmt.Fprintln(w)
		}
		it.show(w)
		found = true
	}
	return found
}

// Text writes the whole definition.
func (s *Spec) Text(w io.Writer) {
	fmt.Fprintf(w, "%s plugin ABI %s\n%s\n", s.ABI.Name, s.ABI.Version(), s.ABI.Doc)
	for _, r := range s.Rule {
		fmt.Fprintf(w, "\n%s: %s\n", r.Title, r.Doc)
	}
	fmt.Fprintf(w, "\nfeatures: %s\nmodule: at most %d bytes; arena aligned to %d\n", strings.Join(s.Wasm.Features, " "),
		s.Wasm.MaxModuleBytes, s.Wasm.ArenaAlign)
	for _, it := range s.items() {
		fmt.Fprintln(w)
		it.show(w)
	}
	fmt.Fprintf(w, "\ngenerator %s: %s\n", s.Generator.Name, s.Generator.Doc)
	for _, r := range s.OpReserved {
		fmt.Fprintf(w, "reserved codes %d to %d: %s\n", r.First, r.Last, r.Doc)
	}
}

func (s *Spec) items() []item {
	list := []item{{"manifest", s.showManifest}, {"status", s.showStatuses}, {"capability", s.showCapabilities}}
	for i := range s.Kind {
		list = append(list, item{s.Kind[i].Name, func(w io.Writer) { s.showKind(w, &s.Kind[i]) }})
	}
	for i := range s.Export {
		list = append(list, item{s.Export[i].Name, s.Export[i].show})
	}
	for i := range s.Struct {
		list = append(list, item{s.Struct[i].Name, s.Struct[i].show})
	}
	for i := range s.Enum {
		list = append(list, item{s.Enum[i].Name, s.Enum[i].show})
	}
	for i := range s.Op {
		list = append(list, item{s.Op[i].Name, s.Op[i].show})
	}
	return list
}

// rows writes aligned lines, the last column free.
func rows(w io.Writer, lines [][]string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		fmt.Fprintf(tw, "  %s\n", strings.TrimRight(strings.Join(l, "\t"), "\t "))
	}
	tw.Flush()
}

func (s *Spec) showManifest(w io.Writer) {
	fmt.Fprintf(w, "manifest: TOML text in the custom section %s\n", s.ABI.Section)
	var lines [][]string
	for _, k := range s.Manifest.Keys {
		lines = append(lines, []string{k.Name, k.Type, need(k.Required), k.Doc})
	}
	rows(w, lines)
}

func need(required bool) string {
	if required {
		return "required"
	}
	return "optional"
}

func (s *Spec) showStatuses(w io.Writer) {
	fmt.Fprintln(w, "status: what an export returns")
	var lines [][]string
	for _, v := range s.Status {
		lines = append(lines, []string{fmt.Sprint(v.Value), v.Name, v.Doc})
	}
	rows(w, lines)
}

func (s *Spec) showCapabilities(w io.Writer) {
	fmt.Fprintln(w, "capability: what a plugin may be granted")
	var lines [][]string
	for _, v := range s.Capability {
		lines = append(lines, []string{fmt.Sprintf("bit %d", v.Bit), v.Name, v.Doc})
		for _, i := range v.Imports {
			lines = append(lines, []string{"", "", "import " + i.Module + "." + i.Name + signature(&i)})
		}
	}
	rows(w, lines)
}

func (s *Spec) showKind(w io.Writer, k *Kind) {
	fmt.Fprintf(w, "kind %s: %s\n", k.Name, k.Doc)
	lines := [][]string{
		{"marker", k.Marker},
		{"memory", fmt.Sprintf("%d pages of %d bytes", k.MaxPages, s.Wasm.PageBytes)},
		{"fuel", fmt.Sprintf("init %d, a call %d + %d per %s, %d per byte of string settings", k.Fuel.Init, k.Fuel.Base, k.Fuel.Per, k.Element, k.Fuel.Text)},
	}
	for _, e := range s.Export {
		for _, name := range e.Kinds {
			if name == k.Name || name == "*" {
				lines = append(lines, []string{need(e.Required), e.Name})
			}
		}
	}
	rows(w, lines)
}

func (e *Export) show(w io.Writer) {
	arg := e.Frame + " frame"
	if e.Frame == "" {
		arg = "i32"
	}
	fmt.Fprintf(w, "export %s(%s), %s, of %s: %s\n", e.Name, arg, need(e.Required), strings.Join(e.Kinds, ", "), e.Doc)
}

func (st *Struct) show(w io.Writer) {
	what := "record"
	if st.IsFrame() {
		what = "frame"
	}
	fmt.Fprintf(w, "%s %s, %d bytes: %s\n", what, st.Name, st.Size, st.Doc)
	var lines [][]string
	for _, f := range st.Fields {
		typ := f.Type
		if f.Of != "" {
			typ += " of " + f.Of
		}
		lines = append(lines, []string{fmt.Sprint(f.At), f.Name, typ, f.Dir, f.Doc})
	}
	rows(w, lines)
}

func (e *Enum) show(w io.Writer) {
	fmt.Fprintf(w, "enum %s\n", strings.TrimSuffix(e.Name+": "+e.Doc, ": "))
	var lines [][]string
	for _, v := range e.Values {
		lines = append(lines, []string{fmt.Sprint(v.Value), v.Name, v.Doc})
	}
	rows(w, lines)
}

func (o *Op) show(w io.Writer) {
	fmt.Fprintf(w, "op %s, code %d: %s\n  %s\n", o.Name, o.Code, o.Doc, o.Shape)
	lines := [][]string{}
	for _, l := range []struct {
		what  string
		names []string
	}{{"in", o.In}, {"weights", o.W}, {"out", o.Out}} {
		if len(l.names) > 0 {
			lines = append(lines, []string{l.what, strings.Join(l.names, " ")})
		}
	}
	for i, a := range o.Attr {
		def := ""
		if a.Default != nil {
			def = fmt.Sprintf("default %v", a.Default)
		}
		lines = append(lines, []string{fmt.Sprintf("attr %d", i), a.Name, a.Type, def, a.Doc})
	}
	rows(w, lines)
}
