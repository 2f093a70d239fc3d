package main

import (
	"os/exec"
	"strings"
	"testing"
)

// mayImport says which packages of the tree each package may import; what is not listed is not allowed. The product never
// imports a generator, the host imports neither a device nor a shipped guest, and nothing imports cmd/forge.
var mayImport = map[string]string{
	"forge/abi":                   "",
	"forge/abi/gen":               "abi/spec",
	"forge/abi/spec":              "",
	"forge/gguf":                  "",
	"forge/gguf/randmodel":        "gguf",
	"forge/kernels":               "gguf",
	"forge/kernels/kernelstest":   "kernels gguf",
	"forge/kernels/simd":          "kernels gguf",
	"forge/plugins":               "",
	"forge/host":                  "host/model host/plugin kernels gguf abi",
	"forge/host/author":           "host/model host/plugin kernels gguf/randmodel gguf abi",
	"forge/host/chat":             "",
	"forge/host/model":            "host/plugin kernels gguf abi",
	"forge/host/plugin":           "host/plugin/wasmbin abi",
	"forge/host/plugin/wasmbin":   "",
	"forge/host/plugin/wasmtest":  "",
	"forge/host/plugin/hostile":   "abi host/plugin/wasmtest",
	"forge/host/receipt":          "host host/plugin abi",
	"forge/host/reference":        "gguf",
	"forge/host/server":           "host host/chat",
	"forge/cmd/forge":             "host host/author host/chat host/model host/plugin host/receipt host/server kernels kernels/simd plugins gguf abi abi/spec",
	"forge/plugins/pin":           "plugins host/plugin",
	"forge/plugins/tokenizer/gen": "",
	"forge/examples":              "",
	"forge/tools/fuzzcount":       "",
	"forge/tools/randmodel":       "gguf gguf/randmodel",
}

// oneImporter names the only package that may import a library.
var oneImporter = map[string]string{
	"github.com/tetratelabs/wazero": "forge/host/plugin",
	"github.com/urfave/cli/v2":      "forge/cmd/forge",
	"github.com/mmcloughlin/avo":    "",
}

// Ensure that packages import what they may.
func TestImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...")
	cmd.Dir = root()
	out, err := cmd.Output()
	if err != nil {
		t.Skip("go list does not work here:", err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		fields := strings.Fields(line)
		pkg := fields[0]
		if strings.HasPrefix(pkg, "forge/plugins/") && strings.Contains(pkg, "test") || strings.HasPrefix(pkg, "forge/examples/") {
			continue
		}
		allowed, known := mayImport[pkg]
		if !known {
			t.Errorf("%s is not in the table of packages: say what it may import", pkg)
			continue
		}
		for _, imp := range fields[1:] {
			if local, ok := strings.CutPrefix(imp, "forge/"); ok && !contains(strings.Fields(allowed), local) {
				t.Errorf("%s imports forge/%s, it may import: %s", pkg, local, allowed)
			}
			for lib, only := range oneImporter {
				if (imp == lib || strings.HasPrefix(imp, lib+"/")) && pkg != only {
					t.Errorf("%s imports %s, only %s may", pkg, imp, only)
				}
			}
		}
	}
}
