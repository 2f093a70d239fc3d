package plugin

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Pinned is a plugin whose digest Pin wrote.
type Pinned struct {
	Name, File string
	Old, New   string // Old is empty where there was none
}

var digestValue = regexp.MustCompile(`(sha256"?'?\s*=\s*)("[^"]*"|'[^']*')`)

// Pin writes into a plugins.toml the digests that its plugins' files have, and leaves every other byte as it was. name and
// open are as for ParseConfig. The text that is returned pins what open gave; whoever asks for that trusts these files.
func Pin(name string, data []byte, open func(file string) ([]byte, error)) ([]byte, []Pinned, error) {
	var f fileConfig
	if _, err := toml.Decode(string(data), &f); err != nil {
		// ParseConfig says it with the line.
		_, err = ParseConfig(name, data, open)
		return nil, nil, err
	}
	where := findLines(string(data))
	if len(where.plugins) != len(f.Plugin) {
		return nil, nil, fmt.Errorf("%s: its plugins are inline tables; write each as a [[plugin]] of its own", name)
	}
	text := strings.SplitAfter(string(data), "\n")
	var changed []Pinned
	// From the end, so that an added line moves none that is still to come.
	for i, p := range slices.Backward(f.Plugin) {
		at := fmt.Sprintf("%s:%d: plugin %s", name, where.plugins[i], p.Name)
		if where.files[i] == 0 {
			return nil, nil, fmt.Errorf("%s: file is missing; it is a path beside this file, or shipped:NAME", at)
		}
		wasm, err := open(p.File)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: file %s: %w", at, p.File, err)
		}
		digest := Digest(wasm)
		if strings.EqualFold(digest, p.SHA256) {
			continue
		}
		changed = append(changed, Pinned{p.Name, p.File, p.SHA256, digest})
		if line := where.digests[i]; line != 0 {
			now := digestValue.ReplaceAllString(text[line-1], `${1}"`+digest+`"`)
			if now == text[line-1] {
				return nil, nil, fmt.Errorf("%s: sha256 is written in a way that cannot be changed; write sha256 = \"\"", at)
			}
			text[line-1] = now
			continue
		}
		file := where.files[i]
		if !strings.HasSuffix(text[file-1], "\n") {
			text[file-1] += "\n"
		}
		text = slices.Insert(text, file, `sha256 = "`+digest+"\"\n")
	}
	slices.Reverse(changed)
	out := []byte(strings.Join(text, ""))
	if _, err := ParseConfig(name, out, open); err != nil {
		return nil, nil, errors.Join(errors.New("the digests are right, but the file still has a fault"), err)
	}
	return out, changed, nil
}
