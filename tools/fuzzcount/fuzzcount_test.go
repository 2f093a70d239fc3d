package fuzzcount

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzTenth takes a tenth of its inputs by order and wants as many of a hundred as FORGE_TEST_WANT says.
func FuzzTenth(f *testing.F) {
	want := 10
	if os.Getenv("FORGE_TEST_WANT") == "50" {
		want = 50
	}
	count := New(f, "numbers are tenths", want)
	f.Add(uint64(0))
	n := 0
	f.Fuzz(func(_ *testing.T, _ uint64) {
		count.Add(n%10 == 0)
		n++
	})
}

// Ensure that counts of worker processes reach the one that leads them, that a target which has its share passes, and
// that `go test` fails for one that falls short.
func TestShare(t *testing.T) {
	run := func(want string) (string, error) {
		cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.fuzz=^FuzzTenth$", "-test.fuzztime=2000x", "-test.parallel=2",
			"-test.fuzzcachedir="+t.TempDir())
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), "FORGE_TEST_WANT="+want)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("10"); err != nil || !strings.Contains(out, "numbers are tenths (10.") {
		t.Errorf("a target that has its share: %v\n%s", err, out)
	}
	if out, err := run("50"); err == nil || !strings.Contains(out, "numbers are tenths: less than 50 %") {
		t.Errorf("a target that falls short: %v\n%s", err, out)
	}
}

// Ensure that a worker that was killed while it wrote leaves its last whole count.
func TestSum(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"12": "100 30\n", "345": "20 1\n", "345.part": "40 "} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if fed, taken, err := sum(dir); fed != 120 || taken != 31 || err != nil {
		t.Errorf("%d of %d, %v", taken, fed, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "7"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := sum(dir); err == nil {
		t.Error("a count that is none gives no error")
	}
}
