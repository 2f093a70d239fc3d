package main

import (
	"bytes"
	"fmt"
	"strings"

	"forge/abi/spec"
)

// rust is plugins/sdk/rust/src/abi.rs: constants and #[repr(C)] records, their offsets asserted when they are compiled.
func (g *generator) rust() []byte {
	b := bytes.NewBufferString(header)
	b.WriteString("//! The numbers and records of the ABI.\n\nuse crate::{Ptr, Span};\nuse core::mem::{offset_of, size_of};\n\n")
	fmt.Fprintf(b, "pub const ABI_MAJOR: u32 = %d;\npub const ABI_MINOR: u32 = %d;\npub const ARENA_ALIGN: u32 = %d;\n", g.ABI.Major, g.ABI.Minor, g.Wasm.ArenaAlign)
	for _, v := range g.Status {
		rustDoc(b, "", v.Doc)
		fmt.Fprintf(b, "pub const %s: i32 = %d;\n", strings.ToUpper(v.Name), v.Value)
	}
	for _, v := range g.Capability {
		rustDoc(b, "", v.Doc)
		fmt.Fprintf(b, "pub const CAP_%s: u64 = 1 << %d;\n", strings.ToUpper(v.Name), v.Bit)
	}
	for _, e := range g.Enum {
		b.WriteString("\n")
		if e.Doc != "" {
			fmt.Fprintf(b, "// %s: %s\n", e.Name, e.Doc)
		}
		for _, v := range e.Values {
			rustDoc(b, "", v.Doc)
			fmt.Fprintf(b, "pub const %s_%s: u32 = %d;\n", strings.ToUpper(e.Name), strings.ToUpper(v.Name), v.Value)
		}
	}
	for _, st := range g.Struct {
		g.rustStruct(b, st)
	}
	b.WriteString("\n// Operations of programs, and the slots of their attributes.\n")
	for _, op := range g.Op {
		rustDoc(b, "", op.Shape)
		fmt.Fprintf(b, "pub const OP_%s: u32 = %d;\n", strings.ToUpper(op.Name), op.Code)
		for i, a := range op.Attr {
			rustDoc(b, "", a.Doc)
			fmt.Fprintf(b, "pub const %s_ATTR_%s: usize = %d;\n", strings.ToUpper(op.Name), strings.ToUpper(a.Name), i)
		}
	}
	return b.Bytes()
}

// rustDoc writes a doc comment. Brackets would be read as links.
func rustDoc(b *bytes.Buffer, indent, text string) {
	if text != "" {
		fmt.Fprintf(b, "%s/// %s\n", indent, strings.NewReplacer("[", "\\[", "]", "\\]", "<", "\\<", ">", "\\>").Replace(text))
	}
}

var rustScalar = map[string]string{"u32": "u32", "i32": "i32", "f32": "f32", "u64": "u64", "i64": "i64", "f64": "f64"}

func (g *generator) rustStruct(b *bytes.Buffer, st spec.Struct) {
	b.WriteString("\n")
	rustDoc(b, "", st.Doc)
	fmt.Fprintf(b, "#[repr(C)]\npub struct %s {\n", pascal(st.Name))
	end, pads := 0, 0
	pad := func(to int) {
		if to > end {
			fmt.Fprintf(b, "    _pad%d: [u8; %d],\n", pads, to-end)
			pads++
		}
	}
	for _, f := range st.Fields {
		pad(f.At)
		end = f.At + g.width(f.Type)
		if f.Doc != "" {
			rustDoc(b, "    ", f.Dir+": "+f.Doc)
		}
		fmt.Fprintf(b, "    pub %s: %s,\n", rustName(f.Name), rustType(f))
	}
	pad(st.Size)
	b.WriteString("}\nconst _: () = {\n")
	for _, f := range st.Fields {
		fmt.Fprintf(b, "    assert!(offset_of!(%s, %s) == %d);\n", pascal(st.Name), rustName(f.Name), f.At)
	}
	fmt.Fprintf(b, "    assert!(size_of::<%s>() == %d);\n};\n", pascal(st.Name), st.Size)
}

// rustName is a field's name; type is a word of the language.
func rustName(name string) string {
	if name == "type" {
		return "type_"
	}
	return name
}

func rustType(f spec.Field) string {
	base, n := f.Array()
	of := "u8"
	if f.Of != "" {
		if of = rustScalar[f.Of]; of == "" {
			of = pascal(f.Of)
		}
	}
	switch {
	case n > 0:
		return fmt.Sprintf("[%s; %d]", rustScalar[base], n)
	case base == "span":
		return "Span<" + of + ">"
	case base == "ptr":
		return "Ptr<" + of + ">"
	case rustScalar[base] == "":
		return pascal(base)
	}
	return rustScalar[base]
}
