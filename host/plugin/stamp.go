package plugin

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"forge/abi"
	"forge/host/plugin/wasmbin"
)

// customSections calls f with each custom section of a module: its name, its content, and where it begins and ends with
// its header. Nothing else of the module is looked at.
func customSections(wasm []byte, f func(name string, content []byte, begin, end int) error) error {
	if len(wasm) < 8 || !bytes.Equal(wasm[:4], []byte("\x00asm")) {
		return errors.New("it is not a WebAssembly module")
	}
	for at := 8; at < len(wasm); {
		begin, id := at, wasm[at]
		size, n := binary.Uvarint(wasm[at+1:])
		if n <= 0 || size > uint64(len(wasm)-at-1-n) {
			return errors.New("a section ends outside the module: it is cut off or damaged")
		}
		section := wasm[at+1+n : at+1+n+int(size)]
		at += 1 + n + int(size)
		if id != 0 {
			continue
		}
		length, n := binary.Uvarint(section)
		if n <= 0 || length > uint64(len(section)-n) {
			return errors.New("the name of a custom section ends outside it: the module is damaged")
		}
		if err := f(string(section[n:n+int(length)]), section[n+int(length):], begin, at); err != nil {
			return err
		}
	}
	return nil
}

// Stamp gives a module the manifest of a text, instead of the one that it had: for toolchains that cannot write a custom
// section. The module itself is not judged.
func Stamp(wasm, manifest []byte) ([]byte, error) {
	if _, err := parseManifest(manifest); err != nil {
		return nil, err
	}
	var out []byte
	kept := 0
	err := customSections(wasm, func(name string, _ []byte, begin, end int) error {
		if name == abi.Section {
			out, kept = append(out, wasm[kept:begin]...), end
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out = append(out, wasm[kept:]...)
	body := binary.AppendUvarint(nil, uint64(len(abi.Section)))
	body = append(append(body, abi.Section...), manifest...)
	out = binary.AppendUvarint(append(out, 0), uint64(len(body)))
	return append(out, body...), nil
}

// Info is what can be said of a module without running it.
type Info struct {
	Manifest  *Manifest
	SHA256    string
	Bytes     int
	Imports   []string // "module.name (params) -> (results)"
	Exports   []string // functions
	Functions int
	Pages     uint32 // of memory at the start
	MaxPages  uint32 // that it declares, 0: none
}

// Inspect checks the bytes of a module and reads its manifest. It grants every import that some grant could allow.
func Inspect(wasm []byte) (*Info, error) {
	m, err := ReadManifest(wasm)
	if err != nil {
		return nil, err
	}
	mod, err := wasmbin.Check(wasm, wasmbin.Limits{MaxModuleBytes: abi.MaxModuleBytes, MaxPages: maxPages, AllowImports: grantable})
	if err != nil {
		return nil, err
	}
	info := &Info{Manifest: m, SHA256: Digest(wasm), Bytes: len(wasm), Functions: mod.NFuncs, Pages: mod.MemoryMin}
	if mod.HasMax {
		info.MaxPages = mod.MemoryMax
	}
	for _, i := range mod.Imports {
		info.Imports = append(info.Imports, fmt.Sprintf("%s.%s %v -> %v", i.Module, i.Name, i.Type.Params, i.Type.Results))
	}
	for _, e := range mod.Exports {
		if e.Kind == wasmbin.Func {
			info.Exports = append(info.Exports, e.Name)
		}
	}
	return info, nil
}
