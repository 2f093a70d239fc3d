//go:build race

package plugin

// raced: the race detector makes times and memory its own.
const raced = true
