package plugin

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"forge/abi"
)

// Stamp gives a module with its manifest in the custom section, for toolchains that cannot write one. It takes the place of a
// manifest that is there. The manifest is checked as it is at load.
func Stamp(wasm, manifest []byte) ([]byte, error) {
	if _, err := parseManifest(manifest); err != nil {
		return nil, err
	}
	if len(wasm) < 8 || !bytes.Equal(wasm[:8], []byte("\x00asm\x01\x00\x00\x00")) {
		return nil, fmt.Errorf("it is not a WebAssembly module of version 1")
	}
	out := bytes.Clone(wasm[:8])
	for rest := wasm[8:]; len(rest) > 0; {
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || size > uint64(len(rest)-1-n) {
			return nil, fmt.Errorf("a section ends outside the module: it is cut off or damaged")
		}
		end := 1 + n + int(size)
		if rest[0] != 0 || !isManifest(rest[1+n:end]) {
			out = append(out, rest[:end]...)
		}
		rest = rest[end:]
	}
	section := binary.AppendUvarint(nil, uint64(len(abi.Section)))
	section = append(append(section, abi.Section...), manifest...)
	out = binary.AppendUvarint(append(out, 0), uint64(len(section)))
	return append(out, section...), nil
}

// isManifest tells whether a custom section is the manifest's.
func isManifest(section []byte) bool {
	length, n := binary.Uvarint(section)
	return n > 0 && length <= uint64(len(section)-n) && string(section[n:n+int(length)]) == abi.Section
}
