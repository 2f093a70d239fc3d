package plugin

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"forge/abi"
	"forge/host/plugin/wasmbin"
)

// The grant wasi answers the functions that Go's runtime imports, the same way every time: there are no arguments, no
// environment and no files, the clock counts how often it was asked, random bytes are a fixed sequence, and what is
// written goes nowhere. The signatures are those of wasi_snapshot_preview1.

// Numbers of wasi_snapshot_preview1's errno.
const (
	wasiOK    = 0
	wasiBadf  = 8
	wasiFault = 21
	wasiInval = 28
)

// Caps of one call, so that its time is bounded.
const (
	maxRandom    = 65536 // bytes
	maxVectors   = 1024  // of fd_write
	maxEvents    = 64    // of poll_oneoff
	clockStep    = 1000  // nanoseconds that pass with each question for the time
	sleepStep    = 1_000_000
	subscription = 48 // bytes of the record
	event        = 32
)

// grantOf is the capability that allows an import, 0 for one that none allows.
func grantOf(i wasmbin.Import) uint64 {
	for _, g := range abi.Imports {
		if i.Module == g.Module && i.Name == g.Name && sameNames(i.Type.Params, g.Params) && sameNames(i.Type.Results, g.Results) {
			return g.Cap
		}
	}
	return 0
}

// grantable tells whether some grant allows an import.
func grantable(i wasmbin.Import) bool { return grantOf(i) != 0 }

func sameNames(types []wasmbin.ValueType, names []string) bool {
	return slices.EqualFunc(types, names, func(t wasmbin.ValueType, name string) bool { return t.String() == name })
}

// capabilityName is the name that plugins.toml and the manifest grant a capability by.
func capabilityName(bit uint64) string {
	for name, b := range abi.Capabilities {
		if b == bit {
			return name
		}
	}
	return fmt.Sprintf("capability %#x", bit)
}

// wasiFunc is one function of the shim: its arguments as 64-bit words, and the errno.
type wasiFunc func(in *instance, args []uint64) uint32

var wasiFuncs = map[string]wasiFunc{
	"args_get":          func(*instance, []uint64) uint32 { return wasiOK },
	"args_sizes_get":    wasiNoSizes,
	"environ_get":       func(*instance, []uint64) uint32 { return wasiOK },
	"environ_sizes_get": wasiNoSizes,
	"clock_time_get":    wasiClock,
	"random_get":        wasiRandom,
	"fd_write":          wasiWrite,
	"poll_oneoff":       wasiPoll,
	"sched_yield":       func(*instance, []uint64) uint32 { return wasiOK },
	"proc_exit":         func(_ *instance, args []uint64) uint32 { panic(exitError(uint32(args[0]))) },
}

// exitError is why a guest that calls proc_exit is stopped.
type exitError uint32

func (e exitError) Error() string {
	return fmt.Sprintf("ended itself with the exit code %d", uint32(e))
}

// addWASI makes the host module for guests that were granted wasi.
func (r *Runtime) addWASI(ctx context.Context) error {
	builders := map[string]wazero.HostModuleBuilder{}
	for _, g := range abi.Imports {
		if g.Cap != abi.CapWASI {
			continue
		}
		f, ok := wasiFuncs[g.Name]
		if !ok {
			return fmt.Errorf("plugin host functions: %s.%s is not there", g.Module, g.Name)
		}
		b := builders[g.Module]
		if b == nil {
			b = r.wazero.NewHostModuleBuilder(g.Module)
			builders[g.Module] = b
		}
		b.NewFunctionBuilder().WithGoModuleFunction(wasiCall(f, len(g.Results)), valueTypes(g.Params), valueTypes(g.Results)).Export(g.Name)
	}
	for _, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("plugin host functions: %w", err)
		}
	}
	return nil
}

func wasiCall(f wasiFunc, results int) api.GoModuleFunc {
	return func(ctx context.Context, _ api.Module, stack []uint64) {
		errno := uint32(wasiInval)
		if in := caller(ctx); in != nil {
			errno = f(in, stack)
		}
		if results > 0 {
			stack[0] = uint64(errno)
		}
	}
}

func valueTypes(names []string) []api.ValueType {
	types := make([]api.ValueType, len(names))
	for i, n := range names {
		for _, t := range []api.ValueType{api.ValueTypeI32, api.ValueTypeI64, api.ValueTypeF32, api.ValueTypeF64} {
			if api.ValueTypeName(t) == n {
				types[i] = t
			}
		}
	}
	return types
}

// room is the guest's memory at an address, nil if it has none there.
func (in *instance) room(ptr uint64, n uint64) []byte {
	if ptr = uint64(uint32(ptr)); ptr+n > uint64(len(in.mem.buf)) {
		return nil
	}
	return in.mem.buf[ptr : ptr+n : ptr+n]
}

func wasiNoSizes(in *instance, args []uint64) uint32 {
	a, b := in.room(args[0], 4), in.room(args[1], 4)
	if a == nil || b == nil {
		return wasiFault
	}
	clear(a)
	clear(b)
	return wasiOK
}

// wasiClock is clock_time_get(clock, precision, *time).
func wasiClock(in *instance, args []uint64) uint32 {
	b := in.room(args[2], 8)
	if b == nil {
		return wasiFault
	}
	in.clock += clockStep
	binary.LittleEndian.PutUint64(b, in.clock)
	return wasiOK
}

// wasiRandom is random_get(*bytes, n): the same bytes in every call, those of the generator splitmix64 from 0 on
// (Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014).
func wasiRandom(in *instance, args []uint64) uint32 {
	n := uint64(uint32(args[1]))
	b := in.room(args[0], n)
	switch {
	case n > maxRandom:
		return wasiInval
	case b == nil:
		return wasiFault
	}
	in.charge(int64(n))
	var x uint64
	var word [8]byte
	for len(b) > 0 {
		x += 0x9e3779b97f4a7c15
		z := (x ^ x>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(word[:], z^z>>31)
		b = b[copy(b, word[:]):]
	}
	return wasiOK
}

// wasiWrite is fd_write(fd, *vectors, n, *written): standard output and standard error take everything.
func wasiWrite(in *instance, args []uint64) uint32 {
	fd, n := uint32(args[0]), uint64(uint32(args[2]))
	switch {
	case fd != 1 && fd != 2:
		return wasiBadf
	case n > maxVectors:
		return wasiInval
	}
	vectors, written := in.room(args[1], 8*n), in.room(args[3], 4)
	if vectors == nil || written == nil {
		return wasiFault
	}
	in.charge(4 * int64(n))
	var sum uint32
	for ; len(vectors) > 0; vectors = vectors[8:] {
		sum += getU32(vectors[4:])
	}
	putU32(written, sum)
	return wasiOK
}

// wasiPoll is poll_oneoff(*subscriptions, *events, n, *happened): everything happens at once, and takes its time.
func wasiPoll(in *instance, args []uint64) uint32 {
	n := uint64(uint32(args[2]))
	if n < 1 || n > maxEvents {
		return wasiInval
	}
	subs, events, happened := in.room(args[0], subscription*n), in.room(args[1], event*n), in.room(args[3], 4)
	if subs == nil || events == nil || happened == nil {
		return wasiFault
	}
	in.charge(32 * int64(n))
	for i := range int(n) {
		s, e := subs[subscription*i:][:subscription], events[event*i:][:event]
		var user [8]byte
		copy(user[:], s)
		kind := s[8]
		clear(e)
		copy(e, user[:])
		e[10] = kind
	}
	in.clock += sleepStep
	putU32(happened, uint32(n))
	return wasiOK
}
