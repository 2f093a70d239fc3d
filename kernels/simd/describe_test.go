package simd

import (
	"fmt"
	"strings"
	"testing"

	"forge/gguf"
)

// Ensure that what is said of a rung is what its kernels are.
func TestDescribe(t *testing.T) {
	for _, rung := range rungs() {
		if rung == isaScalar {
			continue
		}
		k := kernelsFor(gguf.Q4_K, rung)
		var all string
		for _, f := range describeWork(rung) {
			all += f.About + ": " + f.Says + "\n"
		}
		for text, want := range map[string]bool{
			"unpacked to registers": k.narrow.few != nil, "\nmore: panels of 32": k.wide.pack != nil, "512 bits": k.wide.pack != nil,
			fmt.Sprintf("\n%d rows on: F16 and BF16 in block fixed point", fixedRows):     kernelsFor(gguf.F16, rung).fixed.rows > 0,
			fmt.Sprintf("fixed point, %d bits", 32*kernelsFor(gguf.F16, rung).fixed.rows): kernelsFor(gguf.F16, rung).fixed.rows > 0,
		} {
			if strings.Contains(all, text) != want {
				t.Errorf("%v: %q is said: %t, want %t\n%s", rung, text, !want, want, all)
			}
		}
	}
	var about []string
	for _, f := range Describe() {
		about = append(about, f.About)
		if f.Says == "" || strings.Contains(f.Says, "%!") {
			t.Errorf("%s: %q", f.About, f.Says)
		}
	}
	if all := strings.Join(about, " "); !strings.HasPrefix(all, "threads ") || !strings.Contains(all, " kernels") {
		t.Error(all)
	}
}
