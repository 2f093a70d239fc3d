package abi

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// views are the records that v1.toml defines, by its names.
var views = map[string]any{
	"head": Head(nil), "init": Init(nil), "vocab": Vocab(nil), "text": Text(nil), "rows": Rows(nil), "row": Row(nil), "seq": Seq(nil),
	"arch": Arch(nil), "meta": Meta(nil), "tensor": Tensor(nil), "weight": Weight(nil), "op": Op(nil),
	"logprob": Logprob(nil), "plan": Plan(nil), "plan_step": PlanStep(nil), "masks": Masks(nil), "mask_row": MaskRow(nil),
	"route": Route(nil), "route_plan": RoutePlan(nil),
}

var sizes = map[string]int{
	"head": HeadSize, "init": InitSize, "vocab": VocabSize, "text": TextSize, "rows": RowsSize, "row": RowSize, "seq": SeqSize,
	"arch": ArchSize, "meta": MetaSize, "tensor": TensorSize, "weight": WeightSize, "op": OpSize,
	"logprob": LogprobSize, "plan": PlanSize, "plan_step": PlanStepSize, "masks": MasksSize, "mask_row": MaskRowSize,
	"route": RouteSize, "route_plan": RoutePlanSize,
}

type field struct {
	Name, Type string
	At         int
}

// TestOffsets sets every field through its accessor, looks for the value at v1.toml's offset, and reads it back.
func TestOffsets(t *testing.T) {
	var spec struct {
		Struct []struct {
			Name   string
			Size   int
			Fields []field
		}
	}
	if _, err := toml.DecodeFile("v1.toml", &spec); err != nil {
		t.Fatal(err)
	}
	if len(spec.Struct) != len(views) {
		t.Fatalf("v1.toml has %d records, the test knows %d", len(spec.Struct), len(views))
	}
	for _, st := range spec.Struct {
		if sizes[st.Name] != st.Size {
			t.Errorf("%s has the size %d, v1.toml says %d", st.Name, sizes[st.Name], st.Size)
		}
		for _, f := range st.Fields {
			if f.Type == "head" {
				continue
			}
			checkField(t, st.Name, st.Size, f)
		}
	}
}

func checkField(t *testing.T, record string, size int, f field) {
	b := make([]byte, size)
	view := reflect.ValueOf(b).Convert(reflect.TypeOf(views[record]))
	var get, set reflect.Value
	for i := range view.NumMethod() {
		name := view.Type().Method(i).Name
		if plain := strings.ReplaceAll(f.Name, "_", ""); strings.EqualFold(name, plain) {
			get = view.Method(i)
		} else if strings.EqualFold(name, "Set"+plain) {
			set = view.Method(i)
		}
	}
	if !get.IsValid() || !set.IsValid() {
		t.Errorf("%s.%s has no accessors", record, f.Name)
		return
	}
	base, count, _ := strings.Cut(f.Type, "[")
	n, width := 1, map[string]int{"u32": 4, "i32": 4, "f32": 4, "ptr": 4, "u64": 8, "i64": 8, "f64": 8, "span": 4}[base]
	if count != "" {
		n = int(count[0] - '0')
		if len(count) == 3 {
			n = 10*n + int(count[1]-'0')
		}
	}
	if base == "span" {
		set.Call([]reflect.Value{reflect.ValueOf(uint32(0x01010101)), reflect.ValueOf(uint32(0x01010101))})
		n = 2
	}
	for i := range n {
		if base == "span" {
			break
		}
		var args []reflect.Value
		if count != "" {
			args = append(args, reflect.ValueOf(i))
		}
		last := set.Type().In(set.Type().NumIn() - 1)
		v := reflect.ValueOf(uint64(0x0101010101010101)).Convert(reflect.TypeOf(uint64(0)))
		if width == 4 {
			v = reflect.ValueOf(uint32(0x01010101))
		}
		switch last.Kind() {
		case reflect.Float64:
			v = reflect.ValueOf(getF64(bytes.Repeat([]byte{1}, 8)))
		case reflect.Float32:
			v = reflect.ValueOf(getF32(bytes.Repeat([]byte{1}, 4)))
		}
		v = v.Convert(last)
		set.Call(append(args, v))
		if got := get.Call(args)[0]; !got.Equal(v) {
			t.Errorf("%s.%s reads %v, %v was set", record, f.Name, got, v)
		}
	}
	want := make([]byte, size)
	copy(want[f.At:], bytes.Repeat([]byte{1}, n*width))
	if !bytes.Equal(b, want) {
		t.Errorf("%s.%s lies elsewhere than at %d, %d bytes: %v", record, f.Name, f.At, n*width, b)
	}
}

func TestKinds(t *testing.T) {
	for _, k := range Kinds {
		got, ok := KindByName(k.Name)
		if !ok || got.Marker != "forge_"+k.Name+"_1" {
			t.Errorf("kind %s: %+v", k.Name, got)
		}
		if k.Fuel.Init <= 0 || k.Fuel.Base <= 0 || k.Fuel.Per <= 0 || k.Fuel.Text <= 0 || k.MaxPages == 0 {
			t.Errorf("kind %s has no limit: %+v", k.Name, k)
		}
	}
	if _, ok := KindByName("smapler"); ok {
		t.Error("there is a kind smapler")
	}
	if s := StatusErrNoMem.String(); s != "err_nomem" {
		t.Error(s)
	}
	if s := Status(9).String(); s != "9" {
		t.Error(s)
	}
}
