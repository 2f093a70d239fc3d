// Package gguf reads and writes GGUF, the container of language models, and decodes its tensors in plain Go.
//
// A [File] is metadata and tensors. Metadata are [Value]s under string keys: a number, a bool, a string, or an [Array] of
// one kind. A [Tensor] is a name, a shape, and bytes in the block format its [Type] names. [Open] maps the file and checks
// all of its structure (every count, length, offset and overlap), but reads no tensor data: opening takes milliseconds, and
// models larger than memory open too. [Load] has the file in memory instead.
//
//	f, err := gguf.Open("model.gguf")
//	if err != nil {
//		return err // names the file, the key or tensor, and what is wrong with it
//	}
//	defer f.Close()
//	layers, found, err := f.Uint("llama.block_count")
//	t := f.Tensor("token_embd.weight")
//	row := make([]float32, t.Dims[0])
//	err = gguf.Dequantize(t.Type, row, t.Data()[:t.Type.RowBytes(len(row))])
//
// A [Writer] makes such files.
//
// The format is that of ggml's GGUF specification, versions 2 and 3, little-endian:
//
//	"GGUF"  version u32  tensors u64  keys u64
//	keys    times: name string, kind u32, value
//	tensors times: name string, n_dims u32, n_dims times u64 (row length first), type u32, offset u64
//	padding to general.alignment (32 unless given), then the tensor data; offsets count from here
//
// A string is its length as u64 and its bytes. An array is the kind of its elements as u32, their number as u64, and the
// elements without padding.
//
// # Caveats
//
// Values, arrays and the bytes handed out by [Tensor.Data], [Array.Bytes] and [Array.Each] are the file itself. They
// must not be written to, and they end with [File.Close]: reading them afterwards crashes the program, and so does a
// file that another program truncates while [Open] has it mapped. Strings and slices of numbers are copies and stay. A File may
// be read by many goroutines.
package gguf
