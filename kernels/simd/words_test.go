package simd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var wordLine = regexp.MustCompile(`(?m)^\tWORD \$0x([0-9a-f]{8}) // (.+)$`)

// TestWordsAreTheirComments has LLVM disassemble the instructions that the arm64 assembly spells as numbers.
func TestWordsAreTheirComments(t *testing.T) {
	files, err := filepath.Glob("*_arm64.s")
	if err != nil || len(files) == 0 {
		t.Fatalf("no arm64 assembly: %v", err)
	}
	comments, input := []string{}, new(strings.Builder)
	seen := map[string]bool{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := len(wordLine.FindAllString(string(text), -1)), strings.Count(string(text), "WORD"); got != want {
			t.Errorf("%s: %d words have a comment, of %d", name, got, want)
		}
		for _, m := range wordLine.FindAllStringSubmatch(string(text), -1) {
			if seen[m[0]] {
				continue
			}
			seen[m[0]] = true
			code, err := strconv.ParseUint(m[1], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			comments = append(comments, m[2])
			fmt.Fprintf(input, "0x%02x 0x%02x 0x%02x 0x%02x\n", code&255, code>>8&255, code>>16&255, code>>24)
		}
	}
	instructions := disassemble(t, input.String(), "-triple=aarch64", "-mattr=+dotprod")
	if len(instructions) != len(comments) {
		t.Fatalf("%d instructions from %d words", len(instructions), len(comments))
	}
	for i, want := range comments {
		if instructions[i] != want {
			t.Errorf("%q is %q", want, instructions[i])
		}
	}
}

var vexLine = regexp.MustCompile(`(?m)^\tBYTE (.+) // VPDP(BUSD|WSSD)\s+Y(\d+), Y(\d+), Y(\d+)$`)

// TestVEXBytesAreTheirComments does the same for what the amd64 assembly spells as bytes, which few CPUs can run.
func TestVEXBytesAreTheirComments(t *testing.T) {
	files, err := filepath.Glob("*_amd64.s")
	if err != nil || len(files) == 0 {
		t.Fatalf("no amd64 assembly: %v", err)
	}
	var want []string
	input, seen := new(strings.Builder), map[string]bool{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := vexLine.FindAllStringSubmatch(string(text), -1)
		if bytes := strings.Count(string(text), "\tBYTE "); bytes != len(lines) {
			t.Errorf("%s: %d lines of bytes have a comment, of %d", name, len(lines), bytes)
		}
		for _, m := range lines {
			if !seen[m[0]] {
				seen[m[0]] = true
				want = append(want, fmt.Sprintf("{vex} vpdp%s %%ymm%s, %%ymm%s, %%ymm%s", strings.ToLower(m[2]), m[3], m[4], m[5]))
				fmt.Fprintln(input, strings.NewReplacer("$", "", "BYTE ", "", ";", "").Replace(m[1]))
			}
		}
	}
	got := disassemble(t, input.String(), "-triple=x86_64", "-mattr=+avxvnni")
	if len(got) != len(want) || len(want) < 40 {
		t.Fatalf("%d instructions, want %d, and 40 at least", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%q is %q", want[i], got[i])
		}
	}
}

// disassemble gives the instructions that LLVM sees in lines of bytes.
func disassemble(t *testing.T, input string, args ...string) []string {
	t.Helper()
	tool, err := exec.LookPath("llvm-mc-19")
	if err != nil {
		t.Skip("no llvm-mc-19 (package llvm-19) to disassemble with")
	}
	cmd := exec.Command(tool, append([]string{"--disassemble"}, args...)...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(input), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var instructions []string
	for line := range strings.Lines(string(out)) {
		if line = strings.Join(strings.Fields(line), " "); line != "" && line[0] != '.' {
			instructions = append(instructions, line)
		}
	}
	return instructions
}
