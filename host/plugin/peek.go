package plugin

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"forge/abi"
)

// ReadManifest reads what a module says about itself without checking or compiling the rest of it: enough to choose among
// plugins. Load checks the whole.
func ReadManifest(wasm []byte) (*Manifest, error) {
	if len(wasm) < 8 || !bytes.Equal(wasm[:4], []byte("\x00asm")) {
		return nil, errors.New("it is not a WebAssembly module")
	}
	for rest := wasm[8:]; len(rest) > 0; {
		id := rest[0]
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || size > uint64(len(rest)-1-n) {
			return nil, errors.New("a section ends outside the module: it is cut off or damaged")
		}
		section := rest[1+n : 1+n+int(size)]
		rest = rest[1+n+int(size):]
		if id != 0 {
			continue
		}
		length, n := binary.Uvarint(section)
		if n <= 0 || length > uint64(len(section)-n) {
			return nil, errors.New("the name of a custom section ends outside it: the module is damaged")
		}
		if string(section[n:n+int(length)]) == abi.Section {
			return parseManifest(section[n+int(length):])
		}
	}
	return nil, fmt.Errorf("it has no custom section %s, which says what it is; build it with the SDK's manifest", abi.Section)
}

// Digest is the sha256 of a module in hex, as plugins.toml pins it.
func Digest(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return hex.EncodeToString(sum[:])
}

// Errorf makes an error that says where the plugin is asked for.
func (s *Spec) Errorf(format string, args ...any) error {
	return s.wrap(fmt.Errorf(format, args...))
}
