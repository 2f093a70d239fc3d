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
	tool, err := exec.LookPath("llvm-mc-19")
	if err != nil {
		t.Skip("no llvm-mc-19 (package llvm-19) to disassemble with")
	}
	cmd := exec.Command(tool, "--disassemble", "-triple=aarch64", "-mattr=+dotprod")
	cmd.Stdin, cmd.Stderr = strings.NewReader(input.String()), os.Stderr
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
	if len(instructions) != len(comments) {
		t.Fatalf("%d instructions from %d words", len(instructions), len(comments))
	}
	for i, want := range comments {
		if instructions[i] != want {
			t.Errorf("%q is %q", want, instructions[i])
		}
	}
}
