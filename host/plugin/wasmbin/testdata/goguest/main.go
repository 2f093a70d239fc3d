// A reactor guest in standard Go; the tests compile it with
// GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -trimpath -ldflags="-s -w".
package main

import "sort"

func main() {}

// run sorts pseudo-random numbers through an interface, so that it needs the collector, the heap and indirect calls.
//
//go:wasmexport run
func run(rounds uint32) uint32 {
	var sum uint32
	for r := uint32(0); r < rounds; r++ {
		s := make([]int, 2000)
		x := r
		for i := range s {
			x = x*1664525 + 1013904223
			s[i] = int(x >> 8)
		}
		sort.Sort(sort.IntSlice(s))
		for i := 1; i < len(s); i++ {
			sum = sum*31 + uint32(s[i]-s[i-1])
		}
	}
	return sum
}
