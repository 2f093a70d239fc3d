package abi

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// Ensure that the host's accessors read from every record what the conformance vectors say.
func TestVectors(t *testing.T) {
	b, err := os.ReadFile("../plugins/sdk/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			Struct, Bytes string
			Values        []struct{ Name, Type, Value string }
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, v := range file.Vectors {
		data, err := hex.DecodeString(v.Bytes)
		if err != nil || len(data) != sizes[v.Struct] {
			t.Fatalf("%s: %d bytes, %v", v.Struct, len(data), err)
		}
		seen[v.Struct] = true
		view := reflect.ValueOf(data).Convert(reflect.TypeOf(views[v.Struct]))
		for i, x := range v.Values {
			result, name := 0, x.Name
			// A span's accessor gives both of its values.
			if i > 0 && v.Values[i-1].Type == "ptr" && name == v.Values[i-1].Name+"_len" && !hasAccessor(view, name) {
				result, name = 1, v.Values[i-1].Name
			}
			got := read(t, view, name)[result]
			text := fmt.Sprint(got)
			switch got.Kind() {
			case reflect.Float32:
				text = strconv.FormatFloat(got.Float(), 'g', -1, 32)
			case reflect.Float64:
				text = strconv.FormatFloat(got.Float(), 'g', -1, 64)
			}
			if text != x.Value {
				t.Errorf("%s.%s reads %s, want %s", v.Struct, x.Name, text, x.Value)
			}
		}
	}
	if len(seen) != len(views) {
		t.Errorf("vectors for %d records of %d", len(seen), len(views))
	}
}

func accessor(view reflect.Value, name string) reflect.Value {
	for i := range view.NumMethod() {
		if strings.EqualFold(view.Type().Method(i).Name, strings.ReplaceAll(name, "_", "")) {
			return view.Method(i)
		}
	}
	return reflect.Value{}
}

func hasAccessor(view reflect.Value, name string) bool { return accessor(view, name).IsValid() }

// read calls the accessors on the way to a value: "head.size", "dims[2]".
func read(t *testing.T, view reflect.Value, name string) []reflect.Value {
	t.Helper()
	name, rest, nested := strings.Cut(name, ".")
	name, index, indexed := strings.Cut(name, "[")
	get := accessor(view, name)
	if !get.IsValid() {
		t.Fatalf("%s has no accessor %s", view.Type(), name)
	}
	var args []reflect.Value
	if indexed {
		i, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, reflect.ValueOf(i))
	}
	res := get.Call(args)
	if nested {
		return read(t, res[0], rest)
	}
	return res
}
