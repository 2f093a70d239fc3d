// Package plugins embeds the guests that forge ships, their default set, chat formats, and what a plugin is written with. Guests
// come through the same door as anyone's: the host is handed these bytes and knows none of them by name.
package plugins

import (
	"embed"
	"io/fs"
	"maps"
	"path"
	"strings"
	"sync"
)

//go:embed arch/*.wasm constraint/*.wasm router/*.wasm sampler/*.wasm template/*.wasm tokenizer/*.wasm
var modules embed.FS

//go:embed default.toml
var defaultSet []byte

//go:embed template/formats/*.jinja
var formats embed.FS

//go:embed sdk/c/*.h sdk/rust/Cargo.toml sdk/rust/src/*.rs sdk/assemblyscript/*.ts sdk/go/*.go sdk/*/build.sh sdk/*/start
var sdk embed.FS

// Shipped gives the shipped modules by name: plugins.toml asks for them as "shipped:NAME". The bytes are shared by all who
// ask and must not be written to.
func Shipped() map[string][]byte { return maps.Clone(shipped()) }

// shipped copies the modules out of the binary once: a plugin set asks for every one of them when forge starts.
var shipped = sync.OnceValue(func() map[string][]byte {
	return files(modules, ".wasm", "arch", "constraint", "router", "sampler", "template", "tokenizer")
})

// Default is the plugin set that is used where the user has none, a plugins.toml.
func Default() []byte { return defaultSet }

// Formats gives the shipped chat formats by name: Jinja texts.
func Formats() map[string]string {
	out := map[string]string{}
	for name, text := range files(formats, ".jinja", "template/formats") {
		out[name] = string(text)
	}
	return out
}

// SDK gives the kits for writing plugins: a folder for each language, with its build.sh and, in start, a first plugin of each
// kind that can be begun in it.
func SDK() fs.FS {
	sub, err := fs.Sub(sdk, "sdk")
	if err != nil {
		panic(err) // only a path that is not valid fails
	}
	return sub
}

// files reads the files with an ending in some folders; their names lose it.
func files(from embed.FS, ending string, folders ...string) map[string][]byte {
	out := map[string][]byte{}
	for _, folder := range folders {
		entries, err := from.ReadDir(folder)
		if err != nil {
			panic(err) // the folders are embedded: only a wrong name here can fail
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ending) {
				continue
			}
			b, err := from.ReadFile(path.Join(folder, e.Name()))
			if err != nil {
				panic(err)
			}
			out[strings.TrimSuffix(e.Name(), ending)] = b
		}
	}
	return out
}
