// Package gguf reads and writes the GGUF container and decodes the block formats of its tensors in plain Go.
package gguf
