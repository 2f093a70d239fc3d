package main

import (
	"bytes"
	"fmt"
	"strings"

	"forge/abi/spec"
)

// goABI is abi/gen_abi.go: constants, and for each record a view on its bytes.
func (g *generator) goABI() []byte {
	b := bytes.NewBufferString(header + "package abi\n\n")
	fmt.Fprintf(b, "const (\n\tMajor = %d\n\tMinor = %d\n\t// Section is the custom section that holds a plugin's manifest.\n\tSection = %q\n", g.ABI.Major, g.ABI.Minor, g.ABI.Section)
	fmt.Fprintf(b, "\tMaxModuleBytes = %d\n\tPageBytes = %d\n\tArenaAlign = %d\n)\n\n", g.Wasm.MaxModuleBytes, g.Wasm.PageBytes, g.Wasm.ArenaAlign)
	b.WriteString("// Status is what an export returns; negative is an error.\ntype Status int32\n\nconst (\n")
	for _, v := range g.Status {
		comment(b, "\t", v.Doc)
		fmt.Fprintf(b, "\tStatus%s Status = %d\n", camel(v.Name), v.Value)
	}
	b.WriteString(")\n\nvar statusNames = map[Status]string{\n")
	for _, v := range g.Status {
		fmt.Fprintf(b, "\t%d: %q,\n", v.Value, v.Name)
	}
	b.WriteString("}\n\n// Capability bits, granted in plugins.toml.\nconst (\n")
	for _, v := range g.Capability {
		comment(b, "\t", v.Doc)
		fmt.Fprintf(b, "\tCap%s uint64 = 1 << %d\n", camel(v.Name), v.Bit)
	}
	b.WriteString(")\n\n// Capabilities by name.\nvar Capabilities = map[string]uint64{\n")
	for _, v := range g.Capability {
		fmt.Fprintf(b, "\t%q: Cap%s,\n", v.Name, camel(v.Name))
	}
	b.WriteString("}\n\n// Imports are the functions that granted guests may import.\nvar Imports = []Import{\n")
	for _, v := range g.Capability {
		for _, i := range v.Imports {
			fmt.Fprintf(b, "\t{Cap: Cap%s, Module: %q, Name: %q, Params: %#v, Results: %#v},\n", camel(v.Name), i.Module, i.Name, i.Params, i.Results)
		}
	}
	b.WriteString("}\n\n// Kinds of plugin, with their marker export and limits.\nvar Kinds = []Kind{\n")
	for _, k := range g.Kind {
		fmt.Fprintf(b, "\t{Name: %q, Marker: %q, MaxPages: %d, Fuel: Fuel{Init: %d, Base: %d, Per: %d, Text: %d}},\n", k.Name, k.Marker, k.MaxPages, k.Fuel.Init, k.Fuel.Base, k.Fuel.Per, k.Fuel.Text)
	}
	b.WriteString("}\n\nconst (\n")
	for _, k := range g.Kind {
		fmt.Fprintf(b, "\tKind%s = %q\n", camel(k.Name), k.Name)
	}
	b.WriteString(")\n\n// Exports that guests have; a name that ends in * is a family.\nvar Exports = []Export{\n")
	for _, e := range g.Export {
		fmt.Fprintf(b, "\t{Name: %q, Kinds: %#v, Required: %v, Frame: %q},\n", e.Name, e.Kinds, e.Required, e.Frame)
	}
	b.WriteString("}\n")
	g.goEnums(b, func(name string) bool { return !g.opEnum(name) })
	for _, st := range g.Struct {
		goStruct(b, st)
	}
	return b.Bytes()
}

// opEnum tells whether an enum belongs to the operations and so to package kernels.
func (g *generator) opEnum(name string) bool {
	for _, op := range g.Op {
		for _, a := range op.Attr {
			if a.Type == "enum:"+name {
				return true
			}
		}
	}
	return false
}

func (g *generator) goEnums(b *bytes.Buffer, take func(string) bool) {
	for _, e := range g.Enum {
		if !take(e.Name) {
			continue
		}
		t := camel(e.Name)
		fmt.Fprintf(b, "\n// %s: %s.\ntype %s uint32\n\nconst (\n", t, strings.TrimSuffix(strings.ReplaceAll("an enum of abi/v1.toml; "+e.Doc, "\n", " "), "; "), t)
		for _, v := range e.Values {
			comment(b, "\t", v.Doc)
			fmt.Fprintf(b, "\t%s%s %s = %d\n", t, camel(v.Name), t, v.Value)
		}
		b.WriteString(")\n")
	}
}

func goStruct(b *bytes.Buffer, st spec.Struct) {
	t := camel(st.Name)
	fmt.Fprintf(b, "\n// %sSize is the bytes of a %s record.\nconst %sSize = %d\n", t, st.Name, t, st.Size)
	fmt.Fprintf(b, "\n// %s views a %s record: %s\ntype %s []byte\n\n", t, st.Name, st.Doc, t)
	get := map[string]string{"u32": "uint32", "i32": "int32", "f32": "float32", "u64": "uint64", "i64": "int64", "f64": "float64", "ptr": "uint32"}
	for _, f := range st.Fields {
		name := camel(f.Name)
		base, _, isArray := strings.Cut(f.Type, "[")
		gt := get[base]
		fn := strings.ToUpper(base[:1]) + base[1:]
		if base == "ptr" {
			fn = "U32"
		}
		switch {
		case isArray:
			fmt.Fprintf(b, "func (r %s) %s(i int) %s { return get%s(r[%d+4*i:]) }\n", t, name, gt, fn, f.At)
			fmt.Fprintf(b, "func (r %s) Set%s(i int, v %s) { put%s(r[%d+4*i:], v) }\n", t, name, gt, fn, f.At)
		case base == "span":
			fmt.Fprintf(b, "func (r %s) %s() (ptr, n uint32) { return getU32(r[%d:]), getU32(r[%d:]) }\n", t, name, f.At, f.At+4)
			fmt.Fprintf(b, "func (r %s) Set%s(ptr, n uint32) { putU32(r[%d:], ptr); putU32(r[%d:], n) }\n", t, name, f.At, f.At+4)
		case gt == "":
			fmt.Fprintf(b, "func (r %s) %s() %s { return %s(r[%d:]) }\n", t, name, camel(base), camel(base), f.At)
		default:
			fmt.Fprintf(b, "func (r %s) %s() %s { return get%s(r[%d:]) }\n", t, name, gt, fn, f.At)
			fmt.Fprintf(b, "func (r %s) Set%s(v %s) { put%s(r[%d:], v) }\n", t, name, gt, fn, f.At)
		}
	}
}

// goOps is kernels/gen_op.go: the op vocabulary with typed attributes.
func (g *generator) goOps() []byte {
	b := bytes.NewBufferString(header + "package kernels\n\nimport \"math\"\n\n")
	b.WriteString("// OpCode names an operation.\ntype OpCode uint32\n\nconst (\n")
	for _, op := range g.Op {
		fmt.Fprintf(b, "\t// Op%s: %s\n\t//\n\t// %s\n\tOp%s OpCode = %d\n", camel(op.Name), op.Doc, op.Shape, camel(op.Name), op.Code)
	}
	b.WriteString(")\n\n// MaxAttrs is the most attributes an operation has.\nconst MaxAttrs = 16\n\n// Specs is the vocabulary: names of inputs, weights, outputs and attributes in slot order; a ? marks an optional one.\nvar Specs = map[OpCode]Spec{\n")
	for _, op := range g.Op {
		fmt.Fprintf(b, "\tOp%s: {Name: %q, In: %#v, W: %#v, Out: %#v, Attr: []AttrSpec{", camel(op.Name), op.Name, op.In, op.W, op.Out)
		for _, a := range op.Attr {
			typ, enum, _ := strings.Cut(a.Type, ":")
			names := "nil"
			for _, e := range g.Enum {
				if e.Name == enum {
					names = "[]string{"
					for _, v := range e.Values {
						names += fmt.Sprintf("%q, ", v.Name)
					}
					names += "}"
				}
			}
			fmt.Fprintf(b, "{Name: %q, Type: %q, Names: %s}, ", a.Name, typ, names)
		}
		b.WriteString("}},\n")
	}
	b.WriteString("}\n")
	g.goEnums(b, g.opEnum)
	for _, op := range g.Op {
		if len(op.Attr) == 0 {
			continue
		}
		t := camel(op.Name)
		fmt.Fprintf(b, "\n// %sAttrs are the attributes of %s.\ntype %sAttrs struct {\n", t, op.Name, t)
		for _, a := range op.Attr {
			comment(b, "\t", a.Doc)
			fmt.Fprintf(b, "\t%s %s\n", camel(a.Name), attrType(a.Type))
		}
		fmt.Fprintf(b, "}\n\n// %s reads the attributes of %s.\nfunc (o *Op) %s() %sAttrs {\n\treturn %sAttrs{", t, op.Name, t, t, t)
		for i, a := range op.Attr {
			switch attrType(a.Type) {
			case "int":
				fmt.Fprintf(b, "%s: int(int32(o.Attr[%d])), ", camel(a.Name), i)
			case "float32":
				fmt.Fprintf(b, "%s: math.Float32frombits(o.Attr[%d]), ", camel(a.Name), i)
			default:
				fmt.Fprintf(b, "%s: %s(o.Attr[%d]), ", camel(a.Name), attrType(a.Type), i)
			}
		}
		fmt.Fprintf(b, "}\n}\n\n// Set stores the attributes in an operation.\nfunc (a %sAttrs) Set(o *Op) {\n", t)
		for i, a := range op.Attr {
			switch attrType(a.Type) {
			case "int":
				fmt.Fprintf(b, "\to.Attr[%d] = uint32(int32(a.%s))\n", i, camel(a.Name))
			case "float32":
				fmt.Fprintf(b, "\to.Attr[%d] = math.Float32bits(a.%s)\n", i, camel(a.Name))
			default:
				fmt.Fprintf(b, "\to.Attr[%d] = uint32(a.%s)\n", i, camel(a.Name))
			}
		}
		b.WriteString("}\n")
	}
	return b.Bytes()
}

func attrType(t string) string {
	switch {
	case strings.HasPrefix(t, "enum:"):
		return camel(strings.TrimPrefix(t, "enum:"))
	case t == "f32":
		return "float32"
	}
	return "int"
}
