package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"forge/abi/spec"
)

// Vector is a record as bytes, with the values that an accessor must read there.
type Vector struct {
	Struct string  `json:"struct"`
	Size   int     `json:"size"`
	Bytes  string  `json:"bytes"`
	Values []Value `json:"values"`
}

// Value of a scalar in a record: decimal, exact for integers and shortest that reads back to the same bits for floats. A ptr is
// its number. A span gives two values, name and name_len; an array name[i]; an embedded record name.field.
type Value struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	At    int    `json:"at"`
	Value string `json:"value"`
}

// vectors is plugins/sdk/vectors.json: each record twice, with bytes that are all different and with ones whose sign bits are
// set. No float of them is a NaN.
func (g *generator) vectors() []byte {
	var list []Vector
	for _, st := range g.Struct {
		for _, pattern := range []func(i int) byte{
			func(i int) byte { return byte(i + 1) },
			func(i int) byte { return byte(0x80 | i*7&0x3f) },
		} {
			data := make([]byte, st.Size)
			for i := range data {
				data[i] = pattern(i)
			}
			list = append(list, Vector{st.Name, st.Size, hex.EncodeToString(data), g.values(nil, "", 0, st, data)})
		}
	}
	random, err := json.Marshal(g.Generator.Vectors)
	check(err)
	b := new(bytes.Buffer)
	fmt.Fprintf(b, "{\"abi\": %q,\n\"%s\": %s,\n\"vectors\": [\n", g.ABI.Version(), g.Generator.Name, random)
	for i, v := range list {
		line, err := json.Marshal(v)
		check(err)
		b.Write(line)
		if i < len(list)-1 {
			b.WriteString(",")
		}
		b.WriteString("\n")
	}
	b.WriteString("]}\n")
	return b.Bytes()
}

// values appends what the fields of a record at a place in data hold.
func (g *generator) values(list []Value, prefix string, at int, st spec.Struct, data []byte) []Value {
	add := func(name, typ string, at int) {
		list = append(list, Value{prefix + name, typ, at, decimal(typ, data[at:])})
	}
	for _, f := range st.Fields {
		base, n := f.Array()
		switch {
		case n > 0:
			for i := range n {
				add(fmt.Sprintf("%s[%d]", f.Name, i), base, at+f.At+i*g.width(base))
			}
		case base == "span":
			add(f.Name, "ptr", at+f.At)
			add(f.Name+"_len", "u32", at+f.At+4)
		case base == "ptr":
			add(f.Name, "ptr", at+f.At)
		case g.isRecord(base):
			for _, inner := range g.Struct {
				if inner.Name == base {
					list = g.values(list, prefix+f.Name+".", at+f.At, inner, data)
				}
			}
		default:
			add(f.Name, base, at+f.At)
		}
	}
	return list
}

func decimal(typ string, b []byte) string {
	le := binary.LittleEndian
	switch typ {
	case "u32", "ptr":
		return strconv.FormatUint(uint64(le.Uint32(b)), 10)
	case "i32":
		return strconv.FormatInt(int64(int32(le.Uint32(b))), 10)
	case "u64":
		return strconv.FormatUint(le.Uint64(b), 10)
	case "i64":
		return strconv.FormatInt(int64(le.Uint64(b)), 10)
	case "f32":
		return strconv.FormatFloat(float64(math.Float32frombits(le.Uint32(b))), 'g', -1, 32)
	}
	return strconv.FormatFloat(math.Float64frombits(le.Uint64(b)), 'g', -1, 64)
}
