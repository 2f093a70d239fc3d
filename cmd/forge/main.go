// Command forge runs GGUF language models; every tokenizer, sampler and architecture is a WebAssembly guest.
package main

import (
	_ "github.com/BurntSushi/toml"
	_ "github.com/tetratelabs/wazero"
	_ "github.com/urfave/cli/v2"
	_ "golang.org/x/sys/cpu"
)

func main() {}
