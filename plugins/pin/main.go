// Command pin writes the digests of the shipped modules into the default plugin set. Run it in the repository's root
// after a guest was rebuilt (plugins/build.sh does): go run ./plugins/pin
package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"regexp"
	"strings"

	"forge/plugins"
)

// targets are the set that is embedded and its copy for users to start from.
var targets = []string{"plugins/default.toml", "plugins.toml"}

func main() {
	text, err := pin(string(plugins.Default()), plugins.Shipped())
	for _, file := range targets {
		if err == nil {
			err = os.WriteFile(file, []byte(text), 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pin:", err)
		os.Exit(1)
	}
}

var shippedFile = regexp.MustCompile(`(?m)^file = "shipped:([^"]+)"$`)
var digest = regexp.MustCompile(`(?m)^sha256 = "[^"]*"$`)

// pin replaces the sha256 of each [[plugin]] whose file is a shipped module. Every shipped module must be in the set.
func pin(set string, shipped map[string][]byte) (string, error) {
	tables := strings.SplitAfter(set, "[[plugin]]\n")
	for i, t := range tables[1:] {
		m := shippedFile.FindStringSubmatch(t)
		if m == nil {
			continue
		}
		code, ok := shipped[m[1]]
		if !ok {
			return "", fmt.Errorf("%s asks for shipped:%s, which is not a shipped module", targets[0], m[1])
		}
		delete(shipped, m[1])
		if len(digest.FindAllString(t, -1)) != 1 {
			return "", fmt.Errorf("%s: the [[plugin]] of shipped:%s needs one line sha256 = \"\"", targets[0], m[1])
		}
		tables[i+1] = digest.ReplaceAllString(t, fmt.Sprintf(`sha256 = "%x"`, sha256.Sum256(code)))
	}
	for name := range shipped {
		return "", fmt.Errorf("%s has no [[plugin]] with file = \"shipped:%s\": add one", targets[0], name)
	}
	return strings.Join(tables, ""), nil
}
