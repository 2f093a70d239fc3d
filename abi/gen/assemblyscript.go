package main

import (
	"bytes"
	"fmt"
	"strings"

	"forge/abi/spec"
)

// assemblyScript is plugins/sdk/assemblyscript/abi.ts: constants, and views whose accessors load and store at fixed offsets.
func (g *generator) assemblyScript() []byte {
	b := bytes.NewBufferString(header)
	fmt.Fprintf(b, "export const ABI_MAJOR: u32 = %d;\nexport const ABI_MINOR: u32 = %d;\nexport const ARENA_ALIGN: u32 = %d;\n\n", g.ABI.Major, g.ABI.Minor, g.Wasm.ArenaAlign)
	for _, v := range g.Status {
		fmt.Fprintf(b, "export const %s: i32 = %d; // %s\n", strings.ToUpper(v.Name), v.Value, v.Doc)
	}
	b.WriteString("\n")
	for _, v := range g.Capability {
		fmt.Fprintf(b, "export const CAP_%s: u64 = 1 << %d; // %s\n", strings.ToUpper(v.Name), v.Bit, v.Doc)
	}
	for _, e := range g.Enum {
		fmt.Fprintf(b, "\n// %s\n", strings.TrimSuffix(e.Name+": "+e.Doc, ": "))
		for _, v := range e.Values {
			fmt.Fprintf(b, "export const %s_%s: u32 = %d;", strings.ToUpper(e.Name), strings.ToUpper(v.Name), v.Value)
			if v.Doc != "" {
				fmt.Fprintf(b, " // %s", v.Doc)
			}
			b.WriteString("\n")
		}
	}
	for _, st := range g.Struct {
		g.scriptStruct(b, st)
	}
	b.WriteString("\n// Operations of programs, and the slots of their attributes.\n")
	for _, op := range g.Op {
		fmt.Fprintf(b, "export const OP_%s: u32 = %d; // %s\n", strings.ToUpper(op.Name), op.Code, op.Shape)
		for i, a := range op.Attr {
			fmt.Fprintf(b, "export const %s_ATTR_%s: u32 = %d;\n", strings.ToUpper(op.Name), strings.ToUpper(a.Name), i)
		}
	}
	return b.Bytes()
}

func (g *generator) scriptStruct(b *bytes.Buffer, st spec.Struct) {
	t := pascal(st.Name)
	fmt.Fprintf(b, "\n// %s\n@unmanaged\nexport class %s {\n", st.Doc, t)
	fmt.Fprintf(b, "  static readonly SIZE: usize = %d;\n", st.Size)
	fmt.Fprintf(b, "  // at gives record i of those that begin at a place.\n  @inline static at(place: usize, i: u32 = 0): %s { return changetype<%s>(place + <usize>i * %d); }\n", t, t, st.Size)
	for _, f := range st.Fields {
		name := lowerCamel(f.Name)
		base, n := f.Array()
		if f.Doc != "" {
			fmt.Fprintf(b, "  // %s: %s\n", f.Dir, f.Doc)
		}
		switch {
		case n > 0:
			fmt.Fprintf(b, "  @inline %s(i: u32): %s { return load<%s>(changetype<usize>(this) + <usize>i * %d, %d); }\n", name, base, base, g.width(base), f.At)
			fmt.Fprintf(b, "  @inline set%s(i: u32, v: %s): void { store<%s>(changetype<usize>(this) + <usize>i * %d, v, %d); }\n", pascal(f.Name), base, base, g.width(base), f.At)
		case base == "span":
			scriptAccessors(b, name, "usize", "u32", f.At)
			scriptAccessors(b, name+"Len", "u32", "u32", f.At+4)
		case base == "ptr":
			scriptAccessors(b, name, "usize", "u32", f.At)
		case g.isRecord(base):
			fmt.Fprintf(b, "  @inline get %s(): %s { return changetype<%s>(changetype<usize>(this) + %d); }\n", name, pascal(base), pascal(base), f.At)
		default:
			scriptAccessors(b, name, base, base, f.At)
		}
	}
	b.WriteString("}\n")
}

// scriptAccessors writes get and set of a value that lies in memory as `stored`.
func scriptAccessors(b *bytes.Buffer, name, typ, stored string, at int) {
	cast := ""
	if typ != stored {
		cast = "<" + stored + ">"
	}
	fmt.Fprintf(b, "  @inline get %s(): %s { return load<%s>(changetype<usize>(this), %d); }\n", name, typ, stored, at)
	fmt.Fprintf(b, "  @inline set %s(v: %s) { store<%s>(changetype<usize>(this), %sv, %d); }\n", name, typ, stored, cast, at)
}

func lowerCamel(s string) string {
	p := pascal(s)
	return strings.ToLower(p[:1]) + p[1:]
}
