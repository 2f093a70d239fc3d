package main

import (
	"bytes"
	"fmt"
	"strings"

	"forge/abi/spec"
)

// cHeader is plugins/sdk/c/forge.h.
func (g *generator) cHeader() []byte {
	b := bytes.NewBufferString(header)
	b.WriteString("#ifndef FORGE_H\n#define FORGE_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n")
	fmt.Fprintf(b, "#define FORGE_ABI_MAJOR %d\n#define FORGE_ABI_MINOR %d\n#define FORGE_ABI \"%d.%d\"\n#define FORGE_ARENA_ALIGN %d\n\nenum {\n", g.ABI.Major, g.ABI.Minor, g.ABI.Major, g.ABI.Minor, g.Wasm.ArenaAlign)
	for _, v := range g.Status {
		fmt.Fprintf(b, "\tFORGE_%s = %d, // %s\n", strings.ToUpper(v.Name), v.Value, v.Doc)
	}
	b.WriteString("};\n\n")
	for _, v := range g.Capability {
		fmt.Fprintf(b, "#define FORGE_CAP_%s (1ull << %d) // %s\n", strings.ToUpper(v.Name), v.Bit, v.Doc)
	}
	for _, e := range g.Enum {
		fmt.Fprintf(b, "\n// %s\nenum {\n", strings.TrimSuffix(e.Name+": "+e.Doc, ": "))
		for _, v := range e.Values {
			fmt.Fprintf(b, "\tFORGE_%s_%s = %d,", strings.ToUpper(e.Name), strings.ToUpper(v.Name), v.Value)
			if v.Doc != "" {
				fmt.Fprintf(b, " // %s", v.Doc)
			}
			b.WriteString("\n")
		}
		b.WriteString("};\n")
	}
	b.WriteString("\n")
	for _, st := range g.Struct {
		fmt.Fprintf(b, "typedef struct forge_%s forge_%s;\n", st.Name, st.Name)
	}
	for _, st := range g.Struct {
		g.cStruct(b, st)
	}
	b.WriteString("\n// Operations of programs, and the slots of their attributes.\nenum {\n")
	for _, op := range g.Op {
		fmt.Fprintf(b, "\tFORGE_OP_%s = %d, // %s\n", strings.ToUpper(op.Name), op.Code, op.Shape)
	}
	b.WriteString("};\nenum {\n")
	for _, op := range g.Op {
		for i, a := range op.Attr {
			fmt.Fprintf(b, "\tFORGE_%s_%s = %d,", strings.ToUpper(op.Name), "ATTR_"+strings.ToUpper(a.Name), i)
			if a.Doc != "" {
				fmt.Fprintf(b, " // %s", a.Doc)
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("};\n\n#endif\n")
	return b.Bytes()
}

func (g *generator) cStruct(b *bytes.Buffer, st spec.Struct) {
	fmt.Fprintf(b, "\n// %s\nstruct forge_%s {\n", st.Doc, st.Name)
	scalar := map[string]string{"u32": "uint32_t", "i32": "int32_t", "f32": "float", "u64": "uint64_t", "i64": "int64_t", "f64": "double"}
	end, pads := 0, 0
	pad := func(to int) {
		if to > end {
			fmt.Fprintf(b, "\tuint8_t pad%d[%d];\n", pads, to-end)
			pads++
		}
	}
	for _, f := range st.Fields {
		pad(f.At)
		end = f.At + g.width(f.Type)
		base, n, isArray := strings.Cut(f.Type, "[")
		of := "uint8_t"
		if f.Of != "" {
			if of = scalar[f.Of]; of == "" {
				of = "forge_" + f.Of
			}
		}
		doc := ""
		if f.Doc != "" {
			doc = " // " + f.Dir + ": " + f.Doc
		}
		switch {
		case isArray:
			fmt.Fprintf(b, "\t%s %s[%s;%s\n", scalar[base], f.Name, n, doc)
		case base == "span":
			fmt.Fprintf(b, "\t%s *%s;%s\n\tuint32_t %s_len;\n", of, f.Name, doc, f.Name)
		case base == "ptr":
			fmt.Fprintf(b, "\t%s *%s;%s\n", of, f.Name, doc)
		case scalar[base] == "":
			fmt.Fprintf(b, "\tforge_%s %s;%s\n", base, f.Name, doc)
		default:
			fmt.Fprintf(b, "\t%s %s;%s\n", scalar[base], f.Name, doc)
		}
	}
	pad(st.Size)
	b.WriteString("};\n#ifdef __wasm32__\n")
	for _, f := range st.Fields {
		fmt.Fprintf(b, "_Static_assert(offsetof(forge_%s, %s) == %d, \"%s.%s\");\n", st.Name, f.Name, f.At, st.Name, f.Name)
	}
	fmt.Fprintf(b, "_Static_assert(sizeof(forge_%s) == %d, \"%s\");\n#endif\n", st.Name, st.Size, st.Name)
}
