package spec

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// order makes a version comparable: a candidate comes before the release it is for.
func order(a ABI) [4]int {
	rc, released := 0, 1
	if a.Pre != "" {
		released = 0
		for _, c := range strings.TrimPrefix(a.Pre, "rc") {
			rc = 10*rc + int(c-'0')
		}
	}
	return [4]int{a.Major, a.Minor, released, rc}
}

// Ensure that v1.toml only appends to the newest released definition. Until 1.0 a breaking change makes another candidate: raise
// [abi].pre, put the new definition into abi/released in the place of the old one, and say why in RATIONALE.md.
func TestReleased(t *testing.T) {
	files, err := filepath.Glob("../released/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no released definition: %v", err)
	}
	read := func(path string) *Spec {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Parse(path, text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	now := read("../v1.toml")
	var newest *Spec
	for _, path := range files {
		s := read(path)
		if want := s.ABI.Version() + ".toml"; filepath.Base(path) != want {
			t.Errorf("%s holds version %s", path, s.ABI.Version())
		}
		if s.ABI.Major == now.ABI.Major && (newest == nil || cmp(order(newest.ABI), order(s.ABI)) < 0) {
			newest = s
		}
	}
	if newest == nil {
		t.Fatalf("no released definition of major %d", now.ABI.Major)
	}
	if cmp(order(now.ABI), order(newest.ABI)) < 0 {
		t.Errorf("v1.toml is version %s, older than the released %s", now.ABI.Version(), newest.ABI.Version())
	}
	for _, c := range Diff(newest, now) {
		if c.Breaking {
			t.Errorf("since %s, %s", newest.ABI.Version(), c)
		}
	}
}

func cmp(a, b [4]int) int { return slices.Compare(a[:], b[:]) }
