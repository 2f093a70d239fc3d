//go:build !linux

package test

import "time"

var started = time.Now()

// threadTime is wall time where a thread's own time is not to be had.
func threadTime() time.Duration { return time.Since(started) }
