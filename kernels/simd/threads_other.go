//go:build !linux

package simd

import "math"

// coresAllowed leaves the count to GOMAXPROCS.
func coresAllowed() int { return math.MaxInt32 }
