// Package wasmtest builds WebAssembly modules for tests, byte by byte: what no compiler would write, and guests of the
// ABI that do what no author would.
//
//	wasm := wasmtest.Guest{Kind: "sampler", Manifest: "[[entries]]\nname = \"x\"\n",
//		Funcs: []wasmtest.Func{{Name: "sampler_x", Code: wasmtest.Cat(wasmtest.Loop(), wasmtest.I32(0))}}}.Build()
//
// The numbers are those of the WebAssembly Core Specification 2.0, chapter 5. Nothing is checked: the point is to be wrong.
package wasmtest

import "encoding/binary"

// Sections of the binary format.
const (
	SecCustom = iota
	SecType
	SecImport
	SecFunction
	SecTable
	SecMemory
	SecGlobal
	SecExport
	SecStart
	SecElement
	SecCode
	SecData
	SecDataCount
)

// Opcodes that the builders and their users name.
const (
	OpUnreachable  = 0x00
	OpBlock        = 0x02
	OpLoop         = 0x03
	OpIf           = 0x04
	OpEnd          = 0x0b
	OpBr           = 0x0c
	OpBrIf         = 0x0d
	OpReturn       = 0x0f
	OpCall         = 0x10
	OpCallIndirect = 0x11
	OpDrop         = 0x1a
	OpLocalGet     = 0x20
	OpLocalSet     = 0x21
	OpLocalTee     = 0x22
	OpGlobalGet    = 0x23
	OpGlobalSet    = 0x24
	OpI32Load      = 0x28
	OpI64Load      = 0x29
	OpI32Store     = 0x36
	OpI64Store     = 0x37
	OpMemorySize   = 0x3f
	OpMemoryGrow   = 0x40
	OpI32Const     = 0x41
	OpI64Const     = 0x42
	OpI64Eqz       = 0x50
	OpI32Add       = 0x6a
	OpI32Shl       = 0x74
	OpI32ShrU      = 0x76
	OpBulk         = 0xfc
	TypeVoid       = 0x40
	TypeI32        = 0x7f
)

// Module is a core module of these sections.
func Module(sections ...[]byte) []byte {
	return Cat(append([][]byte{[]byte("\x00asm\x01\x00\x00\x00")}, sections...)...)
}

// Section is one section.
func Section(id byte, parts ...[]byte) []byte {
	body := Cat(parts...)
	return append(append([]byte{id}, U(uint64(len(body)))...), body...)
}

// Custom is a custom section.
func Custom(name string, body ...byte) []byte { return Section(SecCustom, Name(name), body) }

// Vec is a vector of items, each already encoded.
func Vec(items ...[]byte) []byte { return append(U(uint64(len(items))), Cat(items...)...) }

// Raw is these bytes.
func Raw(b ...byte) []byte { return b }

// Name is a name: its length and its bytes.
func Name(s string) []byte { return append(U(uint64(len(s))), s...) }

// Cat joins parts.
func Cat(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// Repeat is code n times.
func Repeat(n int, code []byte) []byte {
	b := make([]byte, 0, n*len(code))
	for range n {
		b = append(b, code...)
	}
	return b
}

// U is an unsigned number in LEB128.
func U(v uint64) []byte { return binary.AppendUvarint(nil, v) }

// S is a signed number in LEB128.
func S(v int64) (b []byte) {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// ValueTypes encodes a list of types: i I f F v are i32, i64, f32, f64 and v128.
func ValueTypes(s string) []byte {
	b := U(uint64(len(s)))
	for _, c := range s {
		b = append(b, map[rune]byte{'i': 0x7f, 'I': 0x7e, 'f': 0x7d, 'F': 0x7c, 'v': 0x7b}[c])
	}
	return b
}

// FuncType is a function type; FuncType("i", "") takes an i32.
func FuncType(params, results string) []byte {
	return Cat(Raw(0x60), ValueTypes(params), ValueTypes(results))
}

// Body is a function body with its declaration of locals; the end is added.
func Body(locals []byte, code ...byte) []byte {
	b := Cat(locals, code, Raw(OpEnd))
	return append(U(uint64(len(b))), b...)
}

// I32 and I64 are constants.
func I32(v int64) []byte { return append(Raw(OpI32Const), S(v)...) }

// I64 is a constant.
func I64(v int64) []byte { return append(Raw(OpI64Const), S(v)...) }

// Loop repeats a body for ever.
func Loop(parts ...[]byte) []byte {
	return Cat(Raw(OpLoop, TypeVoid), Cat(parts...), Raw(OpBr, 0, OpEnd))
}

// Call calls a function by its index.
func Call(index int) []byte { return append(Raw(OpCall), U(uint64(index))...) }
