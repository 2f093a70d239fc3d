// Command gen writes the amd64 assembly of package simd and its stubs.
//
// The product kernels are built from few parts. A format (format_*.go) says how one row's block of 32 becomes 32
// bytes and how the scales of 8 rows become vectors; dot.go wraps that into the kernel for one activation row, pack.go
// into the one that lays 8 weight rows out as a panel, and gemm.go multiplies panels whatever format they came from.
// So a new format is one entry in a format file. The order of float operations is fixed in package simd's product.go,
// and every emitter here follows it.
//
// It is a module of its own, so that avo never becomes a dependency of the program.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

const command = "command: go generate ./kernels/simd"

func main() {
	outputs := []struct {
		name string
		emit func(e *emitter)
	}{
		{"dot_legacy_evex", func(e *emitter) { emitDots512(e, legacyFormats()) }},
		{"dot_k_evex", func(e *emitter) { emitDots512(e, kFormats()) }},
		{"dot_table_evex", func(e *emitter) { emitDots512(e, tableFormats()) }},
		{"acts", emitActs},
		{"vendor", emitVendor},
		{"dot_legacy", func(e *emitter) { emitDots(e, legacyFormats()) }},
		{"dot_k", func(e *emitter) { emitDots(e, kFormats()) }},
		{"dot_table", func(e *emitter) { emitDots(e, tableFormats()) }},
		{"dot_float", func(e *emitter) { emitFloatDots(e); emitFloatStreams(e) }},
		{"gemm_pack_legacy", func(e *emitter) { emitPacks(e, legacyFormats()) }},
		{"gemm_pack_k", func(e *emitter) { emitPacks(e, kFormats()) }},
		{"gemm_pack_table", func(e *emitter) { emitPacks(e, tableFormats()) }},
		{"few_legacy", func(e *emitter) { emitAddLanes(e); emitFews(e, legacyFormats()) }},
		{"few_k", func(e *emitter) { emitFews(e, kFormats()) }},
		{"few_table", func(e *emitter) { emitFews(e, tableFormats()) }},
		{"few_legacy_avx512", func(e *emitter) { emitAddLanes(e); emitFews(e, legacyFormats()) }},
		{"few_k_avx512", func(e *emitter) { emitFews(e, kFormats()) }},
		{"few_table_avx512", func(e *emitter) { emitFews(e, tableFormats()) }},
		{"gemm_pack_legacy_avx512", func(e *emitter) { emitPacks(e, legacyFormats()) }},
		{"gemm_pack_k_avx512", func(e *emitter) { emitPacks(e, kFormats()) }},
		{"gemm_pack_table_avx512", func(e *emitter) { emitPacks(e, tableFormats()) }},
		{"gemm_avx512", emitGemmsWide},
		{"gemm_avx2", emitGemmsAVX2},
		{"gemm_vnni", emitGemmsVNNI},
		{"gemm_evex", emitGemmsVNNI},
		{"gemm_float", func(e *emitter) { emitFloatPacks(e); emitFloatTiles(e) }},
		{"gemm_float_avx512", emitFloatTiles},
		{"gemm_fixed", emitFixed},
		{"gemm_fixed_avx512", emitFixedWide},
		{"probe", emitProbes},
		{"probe_avx512", emitWideProbes},
		{"attention", emitAttention},
		{"attention_avx512", emitAttention},
		{"vector", emitVectors},
		{"vector_avx512", emitCurves},
		{"fetch", emitFetch},
	}
	for _, o := range outputs {
		if err := write(o.name, o.emit); err != nil {
			fmt.Fprintf(os.Stderr, "gen: %s: %v\n", o.name, err)
			os.Exit(1)
		}
	}
}

// write runs one emitter and leaves ../NAME_amd64.s and its Go stubs.
func write(name string, emit func(*emitter)) error {
	e := &emitter{Context: build.NewContext()}
	e.wide, e.evex = strings.HasSuffix(name, "_avx512"), strings.HasSuffix(name, "_evex")
	e.vnni = e.wide || e.evex
	e.ConstraintExpr("!purego")
	emit(e)
	f, err := e.Result()
	if err != nil {
		return err
	}
	if err := pass.Compile.Execute(f); err != nil {
		return err
	}
	cfg := printer.Config{Name: command, Pkg: "simd"}
	asm, err := printer.NewGoAsm(cfg).Print(f)
	if err != nil {
		return err
	}
	if !e.wide && !e.evex {
		if err := onlyAVX2(asm); err != nil {
			return err
		}
	}
	if !e.wide && !e.evex {
		if asm, err = encodeVNNI(asm); err != nil {
			return err
		}
	}
	stubs, err := printer.NewStubs(cfg).Print(f)
	if err != nil {
		return err
	}
	base := filepath.Join("..", name)
	if err := os.WriteFile(base+"_amd64.s", asm, 0o644); err != nil {
		return err
	}
	return os.WriteFile(base+"_stubs_amd64.go", stubs, 0o644)
}

var (
	vnniLine = regexp.MustCompile(`(?m)^\t(VPDPBUSD|VPDPWSSD)\s+Y(\d+), Y(\d+), Y(\d+)$`)
	highRegs = regexp.MustCompile(`\b[XY](1[6-9]|2\d|3[01])\b|\bK[0-7]\b`)
	funcName = regexp.MustCompile(`(?m)^TEXT ·(\w+)`)
	anyVNNI  = regexp.MustCompile(`(?m)^\tVPDP(BUSD|WSSD).*$`)
)

// onlyAVX2 makes sure that no register outside AVX2 was allocated, which the instructions in use could not name.
func onlyAVX2(asm []byte) error {
	if at := highRegs.FindIndex(asm); at != nil {
		names := funcName.FindAllSubmatch(asm[:at[0]], -1)
		return fmt.Errorf("%s: register %s needs AVX-512: too many vectors are alive at once",
			names[len(names)-1][1], asm[at[0]:at[1]])
	}
	return nil
}

// encodeVNNI writes VPDPBUSD and VPDPWSSD in their VEX form (AVX-VNNI). Go's assembler knows only the EVEX form, which CPUs
// with AVX-VNNI but without AVX-512 refuse.
func encodeVNNI(asm []byte) ([]byte, error) {
	asm = vnniLine.ReplaceAllFunc(asm, func(line []byte) []byte {
		m := vnniLine.FindSubmatch(line)
		n := func(i int) byte { v, _ := strconv.Atoi(string(m[i])); return byte(v) }
		signed, unsigned, acc := n(2), n(3), n(4)
		code := byte(0x50)
		if string(m[1]) == "VPDPWSSD" {
			code = 0x52
		}
		b := [5]byte{0xc4, 0x42, 0x05, code, 0xc0 | (acc&7)<<3 | signed&7}
		b[1] |= (^acc >> 3 & 1) << 7
		b[1] |= (^signed >> 3 & 1) << 5
		b[2] |= (^unsigned & 15) << 3
		return fmt.Appendf(nil, "\tBYTE $0x%02x; BYTE $0x%02x; BYTE $0x%02x; BYTE $0x%02x; BYTE $0x%02x // %s",
			b[0], b[1], b[2], b[3], b[4], bytes.TrimSpace(line))
	})
	if m := anyVNNI.Find(asm); m != nil {
		return nil, fmt.Errorf("no VEX encoding written for %q", m)
	}
	return asm, nil
}
