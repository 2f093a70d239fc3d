// Package wasmbin decodes, checks and meters a core WebAssembly module before anything of it runs.
//
// A guest is a stranger's program. [Check] walks every byte of it and refuses what forge does not run: features
// outside the core with sign extension, saturating conversions, multi-value, bulk memory, mutable globals and SIMD128;
// imports that were not granted; sizes beyond the [Limits]. [Meter] then rewrites the checked bytes so that the guest
// pays fuel for what it executes and cannot nest calls without bound:
//
//	m, err := wasmbin.Check(wasm, wasmbin.DefaultLimits())
//	metered, err := wasmbin.Meter(wasm, m, wasmbin.MeterOptions{})
//
// The fuel is a mutable i64 global, exported as [FuelExport] and known to the host only: no guest index reaches it.
// The host sets it before a call and reads what is left afterwards. Below zero the guest traps, or, with
// [MeterOptions].Refill, calls the host first and traps if that left it below zero. A second global, [DepthExport],
// counts down the room left on the call stack. After a trap [StopOf] tells from the two who is to blame. The counts depend on the module and its
// inputs alone, so they are equal on every machine and in wazero's compiler and interpreter.
//
// # Caveats
//
// Check proves structure, not types: operand types on the stack are left to the compile step. The caller must therefore
// compile the original bytes too and refuse the module if that fails, and then run only the metered ones: a rewrite of
// an ill-typed body is not promised to be ill-typed in the same place. The run-time must enable the second core feature
// set, because compilers write the table index of call_indirect in a form that only that set accepts, and should not
// parse debug information, which Check does not look into.
//
// A trap leaves the guest's memory and the depth undefined: throw the instance away. A host function that a guest
// imports must not call back into that guest: the call graph that decides where depth is counted does not see it.
//
// The binary format and the opcode numbers are those of the WebAssembly Core Specification 2.0, chapter 5.
package wasmbin
