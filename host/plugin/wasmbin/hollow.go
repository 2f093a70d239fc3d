package wasmbin

import "crypto/sha256"

// hollowSection is the custom section in which a hollow module has the SHA-256 of the module that it was made from.
const hollowSection = ReservedPrefix + "_hollow"

// hollowBody is a function without locals that traps, which is valid whatever its type.
var hollowBody = []byte{0, opUnreachable, opEnd}

// Hollow gives a metered module without what its functions do: each body is one unreachable. Types, imports, exports,
// globals, data and names are the same, so native code that was made of the metered module fits the hollow one, which
// takes a fraction of the time to validate. It has the digest of the module that it was made from, so that the hollow
// modules of two different ones are never the same bytes.
func Hollow(metered []byte) ([]byte, error) {
	if err := checkHeader(metered); err != nil {
		return nil, err
	}
	r := &reader{b: metered, pos: 8, at: "the metered module"}
	out := append([]byte{}, metered[:r.pos]...)
	for r.left() > 0 && r.err == nil {
		id := r.byte("a section")
		start := r.offset()
		body := r.bytes(r.u32("a section's size"), "a section")
		if id == secCode && r.err == nil {
			code := &reader{b: body, base: start, at: "the code section"}
			n := code.count(uint32(len(body)), "bodies")
			if code.err != nil {
				return nil, code.err
			}
			body = putU(nil, uint64(n))
			for range n {
				body = append(append(body, byte(len(hollowBody))), hollowBody...)
			}
		}
		out = putSection(out, id, body)
	}
	sum := sha256.Sum256(metered)
	return putSection(out, secCustom, append(putName(nil, hollowSection), sum[:]...)), r.err
}
