package spec

import (
	"errors"
	"fmt"
	"slices"
)

// verify holds a definition to its own rules: offsets ascend, are aligned and fit; names and numbers are used once; what is
// referred to exists.
func (s *Spec) verify() error {
	for i := range s.Struct {
		if err := s.verifyStruct(&s.Struct[i]); err != nil {
			return err
		}
	}
	if err := s.verifyNumbers(); err != nil {
		return err
	}
	if err := s.verifyExports(); err != nil {
		return err
	}
	return s.verifyOps()
}

func (s *Spec) verifyStruct(st *Struct) error {
	end := 0
	for _, f := range st.Fields {
		size, align, err := s.Width(f.Type)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", st.Name, f.Name, err)
		}
		if f.At < end || f.At%align != 0 {
			return fmt.Errorf("%s.%s: offset %d overlaps or is not aligned to %d (previous field ends at %d)", st.Name, f.Name, f.At, align, end)
		}
		if f.Of != "" && s.record(f.Of) == nil && !slices.Contains([]string{"u32", "i32", "f32", "u64", "i64", "f64"}, f.Of) {
			return fmt.Errorf("%s.%s: it points to %q, which is no type", st.Name, f.Name, f.Of)
		}
		if !slices.Contains([]string{"in", "out", "inout"}, f.Dir) {
			return fmt.Errorf("%s.%s: dir is %q; it is in, out or inout", st.Name, f.Name, f.Dir)
		}
		end = f.At + size
	}
	if end > st.Size || st.Size%8 != 0 {
		return fmt.Errorf("%s: fields end at %d, size is %d (a multiple of 8)", st.Name, end, st.Size)
	}
	return nil
}

// verifyNumbers wants every name and every number once, in its list.
func (s *Spec) verifyNumbers() error {
	lists := map[string]*uniques{}
	add := func(list, name string, number int) error {
		u := lists[list]
		if u == nil {
			u = &uniques{names: map[string]bool{}, numbers: map[int]string{}}
			lists[list] = u
		}
		return u.add(list, name, number)
	}
	var errs []error
	for _, v := range s.Status {
		errs = append(errs, add("status", v.Name, v.Value))
	}
	for _, v := range s.Capability {
		errs = append(errs, add("capability", v.Name, v.Bit))
		if v.Bit < 0 || v.Bit > 63 {
			errs = append(errs, fmt.Errorf("capability %s: bit %d does not fit a u64", v.Name, v.Bit))
		}
		for i, im := range v.Imports {
			errs = append(errs, add("capability "+v.Name+" imports", im.Module+"."+im.Name, i))
		}
	}
	for i, k := range s.Manifest.Keys {
		errs = append(errs, add("manifest", k.Name, i))
	}
	for i, e := range s.Enum {
		errs = append(errs, add("enum", e.Name, i))
		for _, v := range e.Values {
			errs = append(errs, add("enum "+e.Name, v.Name, v.Value))
		}
	}
	for i, st := range s.Struct {
		errs = append(errs, add("struct", st.Name, i))
		for k, f := range st.Fields {
			errs = append(errs, add("struct "+st.Name, f.Name, k))
		}
	}
	return errors.Join(errs...)
}

func (s *Spec) verifyExports() error {
	var errs []error
	frames := map[string]bool{"": true}
	for i := range s.Struct {
		if s.Struct[i].IsFrame() {
			frames[s.Struct[i].Name] = true
		}
	}
	names := &uniques{names: map[string]bool{}, numbers: map[int]string{}}
	kinds := map[string]bool{"*": true}
	for i, k := range s.Kind {
		errs = append(errs, names.add("kind", k.Name, i))
		kinds[k.Name] = true
		if want := fmt.Sprintf("forge_%s_%d", k.Name, s.ABI.Major); k.Marker != want {
			errs = append(errs, fmt.Errorf("kind %s: marker %s, want %s", k.Name, k.Marker, want))
		}
	}
	names = &uniques{names: map[string]bool{}, numbers: map[int]string{}}
	for i, e := range s.Export {
		errs = append(errs, names.add("export", e.Name, i))
		if !frames[e.Frame] {
			errs = append(errs, fmt.Errorf("export %s: %q is no frame", e.Name, e.Frame))
		}
		for _, k := range e.Kinds {
			if !kinds[k] {
				errs = append(errs, fmt.Errorf("export %s: unknown kind %q", e.Name, k))
			}
		}
	}
	return errors.Join(errs...)
}

func (s *Spec) verifyOps() error {
	codes := map[int]string{}
	for _, op := range s.Op {
		if was, ok := codes[op.Code]; ok {
			return fmt.Errorf("op %s has the code of %s", op.Name, was)
		}
		codes[op.Code] = op.Name
		if len(op.In) > 4 || len(op.Out) > 2 || len(op.W) > 8 || len(op.Attr) > 16 {
			return fmt.Errorf("op %s does not fit the op record", op.Name)
		}
		for _, r := range s.OpReserved {
			if op.Code >= r.First && op.Code <= r.Last {
				return fmt.Errorf("op %s takes a reserved code", op.Name)
			}
		}
	}
	return nil
}

// uniques are the names and numbers of one list.
type uniques struct {
	names   map[string]bool
	numbers map[int]string
}

func (u *uniques) add(list, name string, number int) error {
	if was, ok := u.numbers[number]; ok {
		return fmt.Errorf("%s %s has the number %d of %s", list, name, number, was)
	}
	if u.names[name] {
		return fmt.Errorf("%s has %s twice", list, name)
	}
	u.names[name], u.numbers[number] = true, name
	return nil
}
