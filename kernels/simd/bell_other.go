//go:build !linux

package simd

// bell wakes one who sleeps.
type bell struct{ rung chan struct{} }

func (b *bell) init(int) { b.rung = make(chan struct{}, 1) }

// ring wakes the one who waits, or who will wait next. It is not rung again before.
func (b *bell) ring() { b.rung <- struct{}{} }

func (b *bell) wait() { <-b.rung }

// processor is the one that this thread runs on, -1 if that is not known.
func processor() int { return -1 }

// leaveProcessor moves this thread to another processor where the system lets it.
func leaveProcessor(int) {}
