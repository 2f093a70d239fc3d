package plugin

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"forge/abi"

	"github.com/tetratelabs/wazero/api"
)

// A saved sequence is a header, the tokens, and what the guest saved, if it saves: else the tokens are told again.
//
//	"forge.seq" 1 | sha256 of the module [32] | u32 tokens, u32 of them prompt | u32[tokens] | u32 n, n bytes
//
// The bytes of an image are the u64 clock of wasi, u32 globals, u64 each, u32 pages, and for each page that is not zero its number and content.
const saveMagic = "forge.seq\x01"

const noState = 1<<32 - 1 // n where the guest saved nothing

// save gives a sequence's state as bytes, for load of the same module.
func (g *tenant) save(ctx context.Context, id uint64) ([]byte, error) {
	s, err := g.of(ctx, id)
	if err != nil {
		return nil, err
	}
	digest, err := hex.DecodeString(g.m.code.digest)
	if err != nil {
		return nil, err
	}
	b := append([]byte(saveMagic), digest...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s.tokens)))
	b = binary.LittleEndian.AppendUint32(b, uint32(s.nPrompt))
	b = append(b, bytesOf(s.tokens)...)
	state, ok, err := g.saveState(ctx, s)
	if err != nil {
		return nil, err
	}
	if !ok {
		return binary.LittleEndian.AppendUint32(b, noState), nil
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(state)))
	return append(b, state...), nil
}

func (g *tenant) saveState(ctx context.Context, s *sequence) (state []byte, ok bool, err error) {
	in := s.in
	switch {
	case !g.stateful():
		return nil, false, nil
	case g.image():
		return in.saveImage(), true, nil
	case in.life.save.fn == nil || in.life.load.fn == nil:
		return nil, false, nil
	}
	err = g.life(ctx, in, in.life.save, s, func(f abi.Seq) { f.SetBuffer(in.base+g.buffer, bufferRoom) })
	if err != nil {
		if !in.dead { // it says that it cannot
			return nil, false, nil
		}
		return nil, false, err
	}
	used := abi.Seq(in.at(0, abi.SeqSize)).Used()
	if used > bufferRoom {
		return nil, false, nil // more than the window holds: told again instead
	}
	return bytes.Clone(in.at(g.buffer, used)), true, nil
}

// load starts a sequence from bytes that save gave. They are not trusted.
func (g *tenant) load(ctx context.Context, id uint64, params []value, data []byte) error {
	if err := g.ready(ctx); err != nil {
		return err
	}
	if g.seqs[id] != nil {
		return g.stateError(id, "was begun already")
	}
	s := &sequence{id: id, params: params}
	state, err := g.parseSaved(s, data)
	if err != nil {
		return g.stateError(id, "cannot be loaded: %v", err)
	}
	if g.stateful() {
		if state == nil {
			err = g.tell(ctx, s, g.main)
		} else {
			err = g.loadState(ctx, s, state)
		}
		if err != nil {
			return err
		}
	}
	g.seqs[id] = s
	return nil
}

// parseSaved reads the header and the tokens, and gives the guest's part, nil if there is none.
func (g *tenant) parseSaved(s *sequence, data []byte) ([]byte, error) {
	head := len(saveMagic) + 32 + 8
	switch {
	case len(data) < head+4 || string(data[:len(saveMagic)]) != saveMagic:
		return nil, fmt.Errorf("the bytes are not a saved sequence")
	case hex.EncodeToString(data[len(saveMagic):head-8]) != g.m.code.digest:
		return nil, fmt.Errorf("another module, or another version of it, saved it")
	}
	n, nPrompt := getU32(data[head-8:]), getU32(data[head-4:])
	rest := data[head:]
	if uint64(len(rest)) < 4*uint64(n)+4 || nPrompt > n {
		return nil, fmt.Errorf("the bytes are cut off or damaged")
	}
	s.tokens, s.nPrompt = make([]uint32, n), int(nPrompt)
	copy(bytesOf(s.tokens), rest)
	rest = rest[4*n:]
	size := getU32(rest)
	if rest = rest[4:]; size == noState && len(rest) == 0 {
		return nil, nil
	}
	if uint64(size) != uint64(len(rest)) {
		return nil, fmt.Errorf("the bytes are cut off or damaged")
	}
	return rest[:size:size], nil
}

// loadState makes an instance know a sequence by what the guest saved.
func (g *tenant) loadState(ctx context.Context, s *sequence, state []byte) error {
	if g.image() {
		in, err := g.clone(ctx, g.main)
		if err != nil {
			return err
		}
		if err := in.loadImage(state); err != nil {
			in.discard()
			return g.stateError(s.id, "cannot be loaded: %v", err)
		}
		s.in = in
		return nil
	}
	in := g.main
	if in.life.load.fn == nil || len(state) > bufferRoom {
		return g.tell(ctx, s, in)
	}
	copy(in.at(g.buffer, uint32(len(state))), state)
	err := g.life(ctx, in, in.life.load, s, func(f abi.Seq) {
		f.SetBuffer(in.base+g.buffer, uint32(len(state)))
		g.putParams(in, f, s.params)
	})
	if err == nil {
		s.in = in
	}
	return err
}

var zeroPage [abi.PageBytes]byte

func (in *instance) saveImage() []byte {
	b := binary.LittleEndian.AppendUint64(nil, in.clock)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(in.m.code.globals)))
	for _, name := range in.m.code.globals {
		b = binary.LittleEndian.AppendUint64(b, in.mod.ExportedGlobal(name).Get())
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(in.mem.buf)/abi.PageBytes))
	for i := 0; i < len(in.mem.buf)/abi.PageBytes; i++ {
		if page := in.mem.buf[i*abi.PageBytes:][:abi.PageBytes]; !bytes.Equal(page, zeroPage[:]) {
			b = append(binary.LittleEndian.AppendUint32(b, uint32(i)), page...)
		}
	}
	return b
}

// loadImage makes a fresh copy of the main instance what saveImage saw.
func (in *instance) loadImage(b []byte) error {
	names := in.m.code.globals
	if len(b) < 16+8*len(names) || getU32(b[8:]) != uint32(len(names)) {
		return fmt.Errorf("the image is cut off or damaged")
	}
	in.clock = binary.LittleEndian.Uint64(b)
	b = b[8:]
	globals, rest := b[4:4+8*len(names)], b[4+8*len(names):]
	pages := getU32(rest)
	rest = rest[4:]
	have := uint32(len(in.mem.buf) / abi.PageBytes)
	if pages < have || uint64(pages)*abi.PageBytes > in.mem.limit || len(rest)%(4+abi.PageBytes) != 0 {
		return fmt.Errorf("the image has %d pages, the plugin begins with %d and its limit is %d", pages, have, in.m.pages())
	}
	if _, ok := in.mod.Memory().Grow(pages - have); !ok {
		return fmt.Errorf("there is no memory for its %d pages", pages)
	}
	for i := 0; i < len(in.mem.buf); i += abi.PageBytes {
		clear(in.mem.buf[i : i+abi.PageBytes])
	}
	for ; len(rest) > 0; rest = rest[4+abi.PageBytes:] {
		i := getU32(rest)
		if i >= pages {
			return fmt.Errorf("the image is damaged")
		}
		copy(in.mem.buf[int(i)*abi.PageBytes:], rest[4:4+abi.PageBytes])
	}
	for i, name := range names {
		in.mod.ExportedGlobal(name).(api.MutableGlobal).Set(binary.LittleEndian.Uint64(globals[8*i:]))
	}
	return nil
}
