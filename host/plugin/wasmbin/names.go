package wasmbin

import "fmt"

// place names a function in a message.
func (m *Module) place(index uint32) string {
	if name, ok := m.names[index]; ok {
		return fmt.Sprintf("function %d %q", index, name)
	}
	return fmt.Sprintf("function %d", index)
}

// decodeNames reads the custom section "name": module, functions, locals; other subsections are skipped, as the
// specification asks.
func (m *Module) decodeNames(b []byte, base int) error {
	r := &reader{b: b, base: base, at: "the name section"}
	last := -1
	for r.left() > 0 && r.err == nil {
		start := r.offset()
		id := int(r.byte("a subsection"))
		sub := &reader{at: r.at}
		size := r.u32("a subsection's size")
		sub.base = r.offset()
		sub.b = r.bytes(size, "a subsection")
		if r.err == nil && id <= last {
			r.fail(start, "subsection %d is repeated or comes too late", id)
		}
		last = id
		if r.err != nil {
			return r.err
		}
		switch id {
		case 0:
			sub.name("the module's name")
		case 1:
			nameMap(sub, func(i uint32, name string) {
				if _, ok := m.names[i]; !ok && len(name) <= 200 {
					m.names[i] = name
				}
			})
		case 2:
			for n := sub.count(1<<20, "functions"); n > 0 && sub.err == nil; n-- {
				sub.u32("a function index")
				nameMap(sub, func(uint32, string) {})
			}
		default:
			continue
		}
		if err := sub.done(); err != nil {
			return err
		}
	}
	return r.err
}

func nameMap(r *reader, each func(uint32, string)) {
	for n := r.count(1<<20, "names"); n > 0 && r.err == nil; n-- {
		i := r.u32("an index")
		name := r.name("a name")
		if r.err == nil {
			each(i, name)
		}
	}
}
