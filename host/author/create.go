package author

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"
)

// Created is a folder that Create made.
type Created struct {
	Name, Kind, Lang, Dir string
	Needs                 string // the tools that build it
	Try                   string // a command that puts it to work
}

// language says how a plugin in it is laid out. The first sources themselves are in the SDK's folder start.
type language struct {
	name, title, needs string
	source             string // where the first source goes
	manifest           string // where the manifest goes that the compiler cannot write, ""
	build              string // what build.sh runs
	files              map[string]string
}

const stamp = "\n\"${FORGE:-forge}\" plugin stamp NAME.wasm --manifest manifest.toml # the compiler cannot write it"

var languages = []language{
	{
		name: "c", title: "C", needs: "clang-19 and lld-19", source: "NAME.c",
		build: "sdk/build.sh NAME.c NAME.wasm",
	},
	{
		name: "rust", title: "Rust", source: "src/lib.rs",
		needs: "Debian's rustc-web, cargo-web, rust-web-src and lld-19, or rustup's cargo with the target wasm32-unknown-unknown and lld-19",
		build: "sdk/build.sh . NAME.wasm",
		files: map[string]string{"Cargo.toml": cargoToml, ".gitignore": "/target\n"},
	},
	{
		name: "assemblyscript", title: "AssemblyScript", needs: "node and npm, which fetches the compiler into this folder",
		source: "NAME.ts", manifest: "manifest.toml", build: "sdk/build.sh NAME.ts NAME.wasm" + stamp,
		files: map[string]string{"package.json": packageJSON, ".gitignore": "/node_modules\n"},
	},
	{
		name: "go", title: "Go", needs: "Go 1.24 or newer", source: "main.go", manifest: "manifest.toml",
		build: "sdk/build.sh . NAME.wasm" + stamp,
		files: map[string]string{"go.mod": "module example.com/NAME\n\ngo 1.24\n"},
	},
}

const cargoToml = `[package]
name = "plugin-NAME"
version = "0.1.0"
edition = "2021"
publish = false

[lib]
crate-type = ["cdylib"]

[dependencies]
forge-guest = { path = "sdk" }

[profile.release]
panic = "abort"
lto = true
codegen-units = 1
strip = true

[workspace]
exclude = ["sdk"]
`

const packageJSON = `{
  "private": true,
  "devDependencies": { "assemblyscript": "0.28.20" }
}
`

// Starts lists what can be begun: of each language the kinds.
func Starts(sdk fs.FS) map[string][]string {
	out := map[string][]string{}
	for _, l := range languages {
		entries, err := fs.ReadDir(sdk, path.Join(l.name, "start"))
		if err != nil {
			continue
		}
		for _, e := range entries {
			kind, _, _ := strings.Cut(e.Name(), ".")
			out[l.name] = append(out[l.name], kind)
		}
		slices.Sort(out[l.name])
		out[l.name] = slices.Compact(out[l.name])
	}
	return out
}

var goodName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// Create makes a folder that holds a first plugin of a kind, whose name is the folder's: source, manifest, build.sh, README and
// the files of the SDK that it is built with. Nothing that exists is written over.
func Create(sdk fs.FS, dir, kind, lang string) (*Created, error) {
	name := filepath.Base(filepath.Clean(dir))
	if !goodName.MatchString(name) {
		return nil, fmt.Errorf("%q cannot be a plugin's name here: take up to 32 small letters, digits and underscores, a letter first", name)
	}
	l, err := starting(sdk, kind, lang)
	if err != nil {
		return nil, err
	}
	if err := emptyFolder(dir); err != nil {
		return nil, err
	}
	files, err := l.layOut(sdk, kind)
	if err != nil {
		return nil, err
	}
	c := &Created{Name: name, Kind: kind, Lang: lang, Dir: dir, Needs: l.needs, Try: strings.ReplaceAll(tries[kind], "NAME", name)}
	if files["README.md"], err = readme(c, l); err != nil {
		return nil, err
	}
	for file, text := range files {
		if !strings.HasPrefix(file, "sdk/") {
			text = bytes.ReplaceAll(text, []byte("NAME"), []byte(name))
		}
		to := filepath.Join(dir, filepath.FromSlash(strings.ReplaceAll(file, "NAME", name)))
		mode := fs.FileMode(0o644)
		if path.Ext(file) == ".sh" {
			mode = 0o755
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, text, mode)); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// starting finds the language, and refuses what cannot be begun by naming what can.
func starting(sdk fs.FS, kind, lang string) (*language, error) {
	starts := Starts(sdk)
	i := slices.IndexFunc(languages, func(l language) bool { return l.name == lang })
	if i < 0 {
		var names []string
		for _, l := range languages {
			names = append(names, l.name)
		}
		return nil, fmt.Errorf("--lang %q: there is a start in %s", lang, strings.Join(names, ", "))
	}
	if slices.Contains(starts[lang], kind) {
		return &languages[i], nil
	}
	var others []string
	for _, l := range languages {
		if slices.Contains(starts[l.name], kind) {
			others = append(others, l.name)
		}
	}
	instead := fmt.Sprintf("in %s there is one of kind %s", lang, strings.Join(starts[lang], ", "))
	if len(others) > 0 {
		instead += ", and one of kind " + kind + " in " + strings.Join(others, ", ")
	}
	return nil, fmt.Errorf("--kind %q: there is no start of that kind in %s; %s", kind, lang, instead)
}

// emptyFolder says whether a folder is not there yet, or empty.
func emptyFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("%s exists and is not empty: name a new folder", dir)
	}
	return nil
}

// layOut gives the folder's files by their paths.
func (l *language) layOut(sdk fs.FS, kind string) (map[string][]byte, error) {
	files := map[string][]byte{"build.sh": []byte("#!/bin/sh\n# Builds NAME.wasm. Needs " + l.needs + ".\nset -eu\ncd \"$(dirname \"$0\")\"\n" + l.build + "\n")}
	for file, text := range l.files {
		files[file] = []byte(text)
	}
	err := fs.WalkDir(sdk, l.name, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(sdk, file)
		if err != nil {
			return err
		}
		rest := strings.TrimPrefix(file, l.name+"/")
		start, isStart := strings.CutPrefix(rest, "start/"+kind)
		switch {
		case isStart && path.Ext(start) == ".toml":
			files[l.manifest] = text
		case isStart:
			files[l.source] = bytes.ReplaceAll(text, []byte("forge/plugins/sdk/go"), []byte("example.com/NAME/sdk"))
		case !strings.HasPrefix(rest, "start/"):
			files["sdk/"+rest] = text
		}
		return nil
	})
	return files, err
}

// tries puts a plugin of each kind to work.
var tries = map[string]string{
	"sampler":    `forge run -m MODEL.gguf -p "Once upon a time" --plugin NAME.wasm --samplers "top_k;NAME;temperature;dist"`,
	"processor":  `forge run -m MODEL.gguf -p "Once upon a time" --plugin NAME.wasm --samplers "NAME;top_k;top_p;temperature;dist"`,
	"tokenizer":  `forge tokenize -m MODEL.gguf -p "Once upon a time" --plugin NAME.wasm`,
	"arch":       `forge inspect MODEL.gguf --program --plugin NAME.wasm`,
	"router":     `forge run -m MODEL.gguf -p "Once upon a time" --plugin NAME.wasm --router NAME`,
	"constraint": `forge run -m MODEL.gguf -p "Once upon a time" --plugin NAME.wasm --constraint NAME`,
	"template":   `forge run -m MODEL.gguf -p "Who are you?" --plugin NAME.wasm`,
}

func readme(c *Created, l *language) ([]byte, error) {
	var b bytes.Buffer
	err := readmeText.Execute(&b, map[string]any{"Created": c, "Title": l.title, "Source": l.source, "Manifest": l.manifest, "Wasi": c.Lang == "go"})
	return b.Bytes(), err
}

var readmeText = template.Must(template.New("README.md").Parse(`# NAME

A plugin for forge of kind {{.Created.Kind}}, in {{.Title}}. [{{.Source}}]({{.Source}}) is all of it{{if .Manifest}}, and
[{{.Manifest}}]({{.Manifest}}) says what it is{{end}}; sdk/ is a copy of forge's kit for this language.

Build it, with {{.Created.Needs}}:

    ./build.sh

Hold it to what forge wants of every plugin, and put it to work:

    forge plugin check NAME.wasm
    {{.Created.Try}}

To keep it, add this to your plugins.toml, and let ` + "`forge plugin pin plugins.toml`" + ` write its digest:

    [[plugin]]
    name = "NAME"
    kind = "{{.Created.Kind}}"
    file = "NAME.wasm"
    sha256 = ""
{{- if .Wasi}}
    grants = ["wasi"{{if eq .Created.Kind "processor"}}, "history"{{end}}]
{{- else if eq .Created.Kind "processor"}}
    grants = ["history"]
{{- else if eq .Created.Kind "constraint"}}
    grants = ["vocab"]
{{- end}}

docs/plugins.md of forge is the guide, docs/abi.md the contract.
`))
