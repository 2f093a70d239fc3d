package main

import (
	"bytes"
	"fmt"
	"strings"

	"forge/abi/spec"
)

// goGuest is plugins/sdk/go/abi.go: constants and records for guests in Go, their offsets asserted when they are compiled.
func (g *generator) goGuest() []byte {
	b := bytes.NewBufferString(header + "//go:build wasip1\n\npackage forge\n\nimport (\n\t\"structs\"\n\t\"unsafe\"\n)\n\n")
	fmt.Fprintf(b, "const (\n\tABIMajor = %d\n\tABIMinor = %d\n\tArenaAlign = %d\n)\n\n", g.ABI.Major, g.ABI.Minor, g.Wasm.ArenaAlign)
	b.WriteString("// Status is what an export returns; negative is an error.\ntype Status = int32\n\nconst (\n")
	for _, v := range g.Status {
		comment(b, "\t", v.Doc)
		fmt.Fprintf(b, "\t%s Status = %d\n", camel(v.Name), v.Value)
	}
	b.WriteString(")\n\n// Capabilities.\nconst (\n")
	for _, v := range g.Capability {
		comment(b, "\t", v.Doc)
		fmt.Fprintf(b, "\tCap%s uint64 = 1 << %d\n", camel(v.Name), v.Bit)
	}
	b.WriteString(")\n")
	for _, e := range g.Enum {
		fmt.Fprintf(b, "\n// %s\nconst (\n", strings.TrimSuffix("Values of "+e.Name+": "+e.Doc, ": "))
		for _, v := range e.Values {
			comment(b, "\t", v.Doc)
			fmt.Fprintf(b, "\t%s%s uint32 = %d\n", camel(e.Name), camel(v.Name), v.Value)
		}
		b.WriteString(")\n")
	}
	for _, st := range g.Struct {
		g.goGuestStruct(b, st)
	}
	b.WriteString("\n// Operations of programs, and the slots of their attributes.\nconst (\n")
	for _, op := range g.Op {
		comment(b, "\t", op.Shape)
		fmt.Fprintf(b, "\tOp%s uint32 = %d\n", camel(op.Name), op.Code)
		for i, a := range op.Attr {
			fmt.Fprintf(b, "\t%sAttr%s = %d\n", camel(op.Name), camel(a.Name), i)
		}
	}
	b.WriteString(")\n")
	return b.Bytes()
}

var goScalar = map[string]string{"u32": "uint32", "i32": "int32", "f32": "float32", "u64": "uint64", "i64": "int64", "f64": "float64"}

func (g *generator) goGuestStruct(b *bytes.Buffer, st spec.Struct) {
	t := camel(st.Name)
	fmt.Fprintf(b, "\n// %s is a record of the ABI. %s\ntype %s struct {\n\t_ structs.HostLayout\n", t, st.Doc, t)
	end := 0
	pad := func(to int) {
		if to > end {
			fmt.Fprintf(b, "\t_ [%d]byte\n", to-end)
		}
	}
	for _, f := range st.Fields {
		pad(f.At)
		end = f.At + g.width(f.Type)
		if f.Doc != "" {
			comment(b, "\t", f.Dir+": "+f.Doc)
		}
		fmt.Fprintf(b, "\t%s %s\n", camel(f.Name), goGuestType(f))
	}
	pad(st.Size)
	b.WriteString("}\n\n")
	for _, f := range st.Fields {
		fmt.Fprintf(b, "var _ = [1]int{}[unsafe.Offsetof(%s{}.%s)-%d]\n", t, camel(f.Name), f.At)
	}
	fmt.Fprintf(b, "var _ = [1]int{}[unsafe.Sizeof(%s{})-%d]\n", t, st.Size)
}

func goGuestType(f spec.Field) string {
	base, n := f.Array()
	of := "byte"
	if f.Of != "" {
		if of = goScalar[f.Of]; of == "" {
			of = camel(f.Of)
		}
	}
	switch {
	case n > 0:
		return fmt.Sprintf("[%d]%s", n, goScalar[base])
	case base == "span":
		return "Span[" + of + "]"
	case base == "ptr":
		return "Ptr[" + of + "]"
	case goScalar[base] == "":
		return camel(base)
	}
	return goScalar[base]
}
