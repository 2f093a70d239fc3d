//go:build !linux

package plugin

import "time"

const canTimeThread = false

func threadTime() time.Duration { return 0 }

func delay(f func()) time.Duration {
	f()
	return 0
}
