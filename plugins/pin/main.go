// Command pin writes the digests of the shipped modules into the default plugin set. Run it in the repository's root
// after a guest was rebuilt (plugins/build.sh does): go run ./plugins/pin
package main

import (
	"fmt"
	"os"
	"strings"

	"forge/host/plugin"
	"forge/plugins"
)

// targets are the set that is embedded and its copy for users to start from.
var targets = []string{"plugins/default.toml", "plugins.toml"}

func main() {
	text, err := pin(plugins.Default(), plugins.Shipped())
	for _, file := range targets {
		if err == nil {
			err = os.WriteFile(file, text, 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pin:", err)
		os.Exit(1)
	}
}

// pin pins the set. Every shipped module must be in it.
func pin(set []byte, shipped map[string][]byte) ([]byte, error) {
	used := map[string]bool{}
	text, _, err := plugin.Pin(targets[0], set, func(file string) ([]byte, error) {
		name, ok := strings.CutPrefix(file, "shipped:")
		wasm := shipped[name]
		if !ok || wasm == nil {
			return nil, fmt.Errorf("%s is not a shipped module", file)
		}
		used[name] = true
		return wasm, nil
	})
	if err != nil {
		return nil, err
	}
	for name := range shipped {
		if !used[name] {
			return nil, fmt.Errorf("%s has no [[plugin]] with file = \"shipped:%s\": add one", targets[0], name)
		}
	}
	return text, nil
}
