package plugin

import (
	"bytes"
	"strings"
	"testing"
)

// Ensure that a stamp is read back, replaces the one before it, and leaves the rest of the module alone.
func TestStamp(t *testing.T) {
	const head = "\x00asm\x01\x00\x00\x00"
	module := []byte(head + "\x01\x04\x01\x60\x00\x00" + "\x00\x05\x04name") // a type section and a custom one
	for _, name := range []string{"first", "the-second"} {
		manifest := "name = \"" + name + "\"\nversion = \"1.0\"\nkind = \"router\"\nabi = \"1.0\"\n"
		stamped, err := Stamp(module, []byte(manifest))
		if err != nil {
			t.Fatal(err)
		}
		want := head + "\x01\x04\x01\x60\x00\x00" + "\x00\x05\x04name" + "\x00" + string(rune(len(manifest)+10)) + "\x09forge.abi" + manifest
		if string(stamped) != want {
			t.Errorf("stamped as %q, want %q", stamped, want)
		}
		m, err := ReadManifest(stamped)
		if err != nil || m.Name != name {
			t.Errorf("read back %+v, %v", m, err)
		}
		module = stamped
	}
	if bytes.Count(module, []byte("forge.abi")) != 1 {
		t.Error("the first stamp is still there")
	}
	good := "name = \"a\"\nversion = \"1\"\nkind = \"router\"\nabi = \"1.0\"\n"
	for _, c := range []struct{ module, manifest, want string }{
		{head, "name = 1", "manifest"},
		{"\x00asm\x0d\x00\x01\x00", good, "it is not a WebAssembly module of version 1"}, // a component
		{head + "\x01\x09\x00", good, "a section ends outside the module"},
		{head + "\x01", good, "a section ends outside the module"},
	} {
		if _, err := Stamp([]byte(c.module), []byte(c.manifest)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %s", c.module, err, c.want)
		}
	}
}
