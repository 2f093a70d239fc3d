package gguf

import "testing"

func BenchmarkOpen(b *testing.B) {
	const path = "../models/gemma-3-270m-q4_k_m.gguf"
	b.ReportAllocs()
	for b.Loop() {
		f, err := Open(path)
		if err != nil {
			b.Skip(err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
