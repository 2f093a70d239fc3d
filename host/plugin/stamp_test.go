package plugin

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"forge/abi"
)

// Ensure that a stamped module is the module with the new manifest in place of the old one, and nothing else changed.
func TestStamp(t *testing.T) {
	wasm, err := os.ReadFile("../../examples/sampler-c/margin.wasm")
	if err != nil {
		t.Fatal(err)
	}
	manifest := []byte("name = \"wider\"\nversion = \"2.0\"\nkind = \"sampler\"\nabi = \"1.0\"\n[[entries]]\nname = \"margin\"\n")
	stamped, err := Stamp(wasm, manifest)
	if err != nil {
		t.Fatal(err)
	}
	info, err := Inspect(stamped)
	if err != nil {
		t.Fatal(err)
	}
	if info.Manifest.Name != "wider" || info.Manifest.Version != "2.0" || info.Bytes != len(stamped) || len(info.Imports) != 0 {
		t.Errorf("%+v", info)
	}
	sections := 0
	customSections(stamped, func(name string, _ []byte, _, _ int) error {
		if name == abi.Section {
			sections++
		}
		return nil
	})
	if sections != 1 {
		t.Errorf("%d sections %s", sections, abi.Section)
	}
	// What stands before the old section is as it was.
	customSections(wasm, func(name string, _ []byte, begin, _ int) error {
		if name == abi.Section && !bytes.Equal(stamped[:begin], wasm[:begin]) {
			t.Error("the code changed")
		}
		return nil
	})
	if again, err := Stamp(stamped, manifest); err != nil || !bytes.Equal(again, stamped) {
		t.Errorf("stamping twice differs: %v", err)
	}
	for _, c := range []struct {
		wasm, manifest []byte
		want           string
	}{
		{[]byte("text"), manifest, "not a WebAssembly module"},
		{wasm, []byte("name = 1"), "manifest"},
		{wasm, []byte("name = \"x\"\n"), "lacks version"},
		{wasm[:len(wasm)-3], manifest, "cut off"},
	} {
		if _, err := Stamp(c.wasm, c.manifest); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
