package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"forge/abi"
)

// ReadManifest reads what a module says about itself without checking or compiling the rest of it: enough to choose among
// plugins. Load checks the whole.
func ReadManifest(wasm []byte) (*Manifest, error) {
	var m *Manifest
	found := false
	err := customSections(wasm, func(name string, content []byte, _, _ int) (err error) {
		if name == abi.Section && !found {
			found = true
			m, err = parseManifest(content)
		}
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("it has no custom section %s, which says what it is; build it with the SDK's manifest, or add it with forge plugin stamp", abi.Section)
	}
	return m, err
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
