package spec

import (
	"fmt"
	"slices"
	"strings"
)

// Change is one difference between two definitions.
type Change struct {
	Path     string `json:"path"` // "struct row.n", "enum row_flag.stop"
	What     string `json:"what"`
	Breaking bool   `json:"breaking"`
}

func (c Change) String() string {
	how := "appended"
	if c.Breaking {
		how = "breaking"
	}
	return how + ": " + c.Path + ": " + c.What
}

// Diff lists what changed from an old definition to a new one. What modules and hosts built on the old one can live with is
// appended; all else is breaking: something removed, moved, renumbered, newly required or lowered. Texts that explain are not
// compared, except the shapes of operations and what an element of a kind's fuel is.
func Diff(old, now *Spec) []Change {
	d := new(differ)
	d.header(old, now)
	d.manifest(old, now)
	d.statuses(old, now)
	d.capabilities(old, now)
	d.structs(old, now)
	d.enums(old, now)
	d.exports(old, now)
	d.kinds(old, now)
	d.ops(old, now)
	if len(d.list) > 0 && old.ABI.Pre == "" && old.ABI.Version() == now.ABI.Version() {
		d.breaks("abi", "%s is released and does not change: call this %d.%d", old.ABI.Version(), old.ABI.Major, old.ABI.Minor+1)
	}
	return d.list
}

type differ struct{ list []Change }

func (d *differ) breaks(path, format string, args ...any) {
	d.list = append(d.list, Change{path, fmt.Sprintf(format, args...), true})
}

func (d *differ) appends(path, format string, args ...any) {
	d.list = append(d.list, Change{path, fmt.Sprintf(format, args...), false})
}

// same names a value that must not change.
func (d *differ) same(path, what string, old, now any) {
	if a, b := fmt.Sprint(old), fmt.Sprint(now); a != b {
		d.breaks(path, "%s was %s and is %s", what, quoted(a), quoted(b))
	}
}

func quoted(s string) string {
	if s == "" {
		return "empty"
	}
	return s
}

// atLeast names a limit that may rise and must not fall.
func (d *differ) atLeast(path, what string, old, now int64) {
	switch {
	case now < old:
		d.breaks(path, "%s fell from %d to %d", what, old, now)
	case now > old:
		d.appends(path, "%s rose from %d to %d", what, old, now)
	}
}

// pairs finds for every old item the new one of the same name; added are the new ones that have no old one. What was removed
// is named.
func pairs[T any](d *differ, path string, old, now []T, name func(*T) string, both func(path string, a, b *T), added func(path string, b *T)) {
	for i := range old {
		n := name(&old[i])
		k := slices.IndexFunc(now, func(t T) bool { return name(&t) == n })
		if k < 0 {
			d.breaks(path+n, "was removed")
			continue
		}
		both(path+n, &old[i], &now[k])
	}
	for i := range now {
		n := name(&now[i])
		if !slices.ContainsFunc(old, func(t T) bool { return name(&t) == n }) {
			added(path+n, &now[i])
		}
	}
}

func (d *differ) header(old, now *Spec) {
	d.same("abi", "name", old.ABI.Name, now.ABI.Name)
	d.same("abi", "major", old.ABI.Major, now.ABI.Major)
	d.same("abi", "section", old.ABI.Section, now.ABI.Section)
	if now.ABI.Major == old.ABI.Major && now.ABI.Minor < old.ABI.Minor {
		d.breaks("abi", "minor fell from %d to %d", old.ABI.Minor, now.ABI.Minor)
	}
	for _, f := range old.Wasm.Features {
		if !slices.Contains(now.Wasm.Features, f) {
			d.breaks("wasm", "the feature %s was removed", f)
		}
	}
	for _, f := range now.Wasm.Features {
		if !slices.Contains(old.Wasm.Features, f) {
			d.appends("wasm", "the feature %s is new", f)
		}
	}
	d.atLeast("wasm", "max_module_bytes", int64(old.Wasm.MaxModuleBytes), int64(now.Wasm.MaxModuleBytes))
	d.same("wasm", "page_bytes", old.Wasm.PageBytes, now.Wasm.PageBytes)
	d.same("wasm", "arena_align", old.Wasm.ArenaAlign, now.Wasm.ArenaAlign)
	d.same("generator", "name", old.Generator.Name, now.Generator.Name)
	d.same("generator", "vectors", old.Generator.Vectors, now.Generator.Vectors)
}

func (d *differ) manifest(old, now *Spec) {
	pairs(d, "manifest ", old.Manifest.Keys, now.Manifest.Keys, func(k *ManifestKey) string { return k.Name },
		func(path string, a, b *ManifestKey) {
			d.same(path, "type", a.Type, b.Type)
			if b.Required && !a.Required {
				d.breaks(path, "was optional and is required")
			}
		},
		func(path string, k *ManifestKey) {
			if k.Required {
				d.breaks(path, "is new and required")
			} else {
				d.appends(path, "a new optional key")
			}
		})
}

func (d *differ) statuses(old, now *Spec) {
	low, high := 0, 0
	for _, v := range old.Status {
		low, high = min(low, v.Value), max(high, v.Value)
	}
	pairs(d, "status ", old.Status, now.Status, func(v *Status) string { return v.Name },
		func(path string, a, b *Status) { d.same(path, "value", a.Value, b.Value) },
		func(path string, v *Status) {
			if v.Value <= high && v.Value >= low {
				d.breaks(path, "takes the number %d amid the old ones (%d to %d)", v.Value, low, high)
			} else {
				d.appends(path, "a new status, %d", v.Value)
			}
		})
}

func (d *differ) capabilities(old, now *Spec) {
	high := -1
	for _, v := range old.Capability {
		high = max(high, v.Bit)
	}
	importName := func(i *Import) string { return i.Module + "." + i.Name }
	pairs(d, "capability ", old.Capability, now.Capability, func(v *Capability) string { return v.Name },
		func(path string, a, b *Capability) {
			d.same(path, "bit", a.Bit, b.Bit)
			pairs(d, path+" import ", a.Imports, b.Imports, importName,
				func(path string, a, b *Import) {
					d.same(path, "type", signature(a), signature(b))
				},
				func(path string, i *Import) { d.appends(path, "a new function, %s", signature(i)) })
		},
		func(path string, v *Capability) {
			if v.Bit <= high {
				d.breaks(path, "takes the bit %d amid the old ones (up to %d)", v.Bit, high)
			} else {
				d.appends(path, "a new capability, bit %d", v.Bit)
			}
		})
}

func signature(i *Import) string {
	return fmt.Sprintf("(%s) -> (%s)", strings.Join(i.Params, ", "), strings.Join(i.Results, ", "))
}

func (d *differ) structs(old, now *Spec) {
	pairs(d, "struct ", old.Struct, now.Struct, func(s *Struct) string { return s.Name },
		func(path string, a, b *Struct) {
			switch {
			case b.Size < a.Size:
				d.breaks(path, "size fell from %d to %d", a.Size, b.Size)
			case b.Size > a.Size && !a.IsFrame():
				d.breaks(path, "size rose from %d to %d, and records stand in arrays: only frames grow", a.Size, b.Size)
			case b.Size > a.Size:
				d.appends(path, "size rose from %d to %d", a.Size, b.Size)
			}
			d.fields(path, old, a, b)
		},
		func(path string, s *Struct) { d.appends(path, "a new record of %d bytes", s.Size) })
}

func (d *differ) fields(path string, oldSpec *Spec, a, b *Struct) {
	end := 0
	for _, f := range a.Fields {
		n, _, _ := oldSpec.Width(f.Type) // verified when it was read
		end = f.At + n
	}
	pairs(d, path+".", a.Fields, b.Fields, func(f *Field) string { return f.Name },
		func(path string, a, b *Field) {
			d.same(path, "offset", a.At, b.At)
			d.same(path, "type", a.Type, b.Type)
			d.same(path, "of", a.Of, b.Of)
			d.same(path, "dir", a.Dir, b.Dir)
		},
		func(path string, f *Field) {
			if f.At < end {
				d.breaks(path, "is new at %d, before the end of the old fields at %d", f.At, end)
			} else {
				d.appends(path, "a new field at %d", f.At)
			}
		})
}

func (d *differ) enums(old, now *Spec) {
	pairs(d, "enum ", old.Enum, now.Enum, func(e *Enum) string { return e.Name },
		func(path string, a, b *Enum) {
			high := -1
			for _, v := range a.Values {
				high = max(high, v.Value)
			}
			pairs(d, path+".", a.Values, b.Values, func(v *EnumValue) string { return v.Name },
				func(path string, a, b *EnumValue) { d.same(path, "value", a.Value, b.Value) },
				func(path string, v *EnumValue) {
					if v.Value <= high {
						d.breaks(path, "takes the number %d amid the old ones (up to %d)", v.Value, high)
					} else {
						d.appends(path, "a new value, %d", v.Value)
					}
				})
		},
		func(path string, e *Enum) { d.appends(path, "a new enum") })
}

func (d *differ) exports(old, now *Spec) {
	pairs(d, "export ", old.Export, now.Export, func(e *Export) string { return e.Name },
		func(path string, a, b *Export) {
			d.same(path, "frame", a.Frame, b.Frame)
			if b.Required && !a.Required {
				d.breaks(path, "was optional and is required")
			}
			if a.Required && !b.Required {
				d.appends(path, "was required and is optional")
			}
			d.exportKinds(path, a, b)
		},
		func(path string, e *Export) {
			if e.Required && !onlyNewKinds(e.Kinds, old) {
				d.breaks(path, "is new and required of kinds that were there")
			} else {
				d.appends(path, "a new export")
			}
		})
}

func (d *differ) exportKinds(path string, a, b *Export) {
	all := func(e *Export) bool { return slices.Contains(e.Kinds, "*") }
	for _, k := range a.Kinds {
		if !slices.Contains(b.Kinds, k) && !all(b) {
			d.breaks(path, "the kind %s was removed", k)
		}
	}
	for _, k := range b.Kinds {
		if slices.Contains(a.Kinds, k) || all(a) {
			continue
		}
		if b.Required {
			d.breaks(path, "is newly required of the kind %s", k)
		} else {
			d.appends(path, "the kind %s may have it", k)
		}
	}
}

func onlyNewKinds(kinds []string, old *Spec) bool {
	return !slices.ContainsFunc(kinds, func(name string) bool {
		return name == "*" || slices.ContainsFunc(old.Kind, func(k Kind) bool { return k.Name == name })
	})
}

func (d *differ) kinds(old, now *Spec) {
	pairs(d, "kind ", old.Kind, now.Kind, func(k *Kind) string { return k.Name },
		func(path string, a, b *Kind) {
			d.same(path, "marker", a.Marker, b.Marker)
			d.same(path, "element", a.Element, b.Element)
			d.atLeast(path, "max_pages", int64(a.MaxPages), int64(b.MaxPages))
			d.atLeast(path, "fuel.init", a.Fuel.Init, b.Fuel.Init)
			d.atLeast(path, "fuel.base", a.Fuel.Base, b.Fuel.Base)
			d.atLeast(path, "fuel.per", a.Fuel.Per, b.Fuel.Per)
			d.atLeast(path, "fuel.text", a.Fuel.Text, b.Fuel.Text)
		},
		func(path string, k *Kind) { d.appends(path, "a new kind") })
}

func (d *differ) ops(old, now *Spec) {
	pairs(d, "op ", old.Op, now.Op, func(o *Op) string { return o.Name },
		func(path string, a, b *Op) {
			d.same(path, "code", a.Code, b.Code)
			d.same(path, "shape", a.Shape, b.Shape)
			d.slots(path, "in", a.In, b.In)
			d.slots(path, "w", a.W, b.W)
			d.slots(path, "out", a.Out, b.Out)
			d.attrs(path, a.Attr, b.Attr)
		},
		func(path string, o *Op) { d.appends(path, "a new operation, code %d", o.Code) })
	for _, a := range old.OpReserved {
		for _, b := range now.OpReserved {
			if a.First == b.First {
				d.same(fmt.Sprintf("op_reserved %d", a.First), "attr", a.Attr, b.Attr)
			}
		}
	}
}

// slots wants the old names in their places; what follows them must be optional, since an old guest leaves it out.
func (d *differ) slots(path, what string, old, now []string) {
	for i, name := range old {
		if i >= len(now) {
			d.breaks(path, "%s slot %d, %s, was removed", what, i, name)
		} else {
			d.same(path, fmt.Sprintf("%s slot %d", what, i), name, now[i])
		}
	}
	for i := len(old); i < len(now); i++ {
		if strings.HasSuffix(now[i], "?") {
			d.appends(path, "%s slot %d is new: %s", what, i, now[i])
		} else {
			d.breaks(path, "%s slot %d is new and required: %s", what, i, now[i])
		}
	}
}

// attrs wants the old attributes in their slots. An old guest leaves 0 in a slot that it does not know, so a new attribute must
// mean by 0 what was before.
func (d *differ) attrs(path string, old, now []Attr) {
	for i, a := range old {
		if i >= len(now) {
			d.breaks(path+"."+a.Name, "was removed from attribute slot %d", i)
			continue
		}
		slot := fmt.Sprintf("attribute slot %d", i)
		d.same(path+"."+a.Name, slot, a.Name, now[i].Name)
		d.same(path+"."+a.Name, "type", a.Type, now[i].Type)
		d.same(path+"."+a.Name, "default", a.Default, now[i].Default)
	}
	for i := len(old); i < len(now); i++ {
		a := now[i]
		if a.Default == nil || fmt.Sprint(a.Default) != "0" {
			d.breaks(path+"."+a.Name, "is new and its default is not 0, which is what older guests leave in its slot")
		} else {
			d.appends(path+"."+a.Name, "a new attribute")
		}
	}
}
