package simd

import (
	"math"

	"golang.org/x/sys/unix"
)

// coresAllowed counts cores in the affinity of this process, and whole processors of its quota.
func coresAllowed() int {
	n := math.MaxInt32
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err == nil && set.Count() > 0 {
		var processors []int
		for i := range len(set) * 64 {
			if set.IsSet(i) {
				processors = append(processors, i)
			}
		}
		n = system.cores(processors)
	}
	if q := system.quota(); q < float64(n) {
		n = max(1, int(q))
	}
	return n
}
