package main

import "strings"

var initialisms = map[string]string{
	"id": "ID", "ids": "IDs", "kv": "KV", "abi": "ABI", "rms": "RMS", "bos": "BOS", "eos": "EOS", "glu": "GLU", "silu": "SiLU",
	"gelu": "GELU", "relu": "ReLU", "nomem": "NoMem", "eog": "EOG", "wasi": "WASI",
}

// camel turns snake_case into Go's MixedCaps.
func camel(s string) string { return join(s, initialisms) }

// pascal turns snake_case into UpperCamelCase without initialisms, as Rust and TypeScript have it.
func pascal(s string) string { return join(s, nil) }

func join(s string, special map[string]string) string {
	var b strings.Builder
	for _, w := range strings.Split(s, "_") {
		if v, ok := special[w]; ok {
			b.WriteString(v)
		} else if w != "" {
			b.WriteString(strings.ToUpper(w[:1]) + w[1:])
		}
	}
	return b.String()
}
