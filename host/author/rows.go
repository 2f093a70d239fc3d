package author

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// Saved logits are a NumPy array file, version 1.0, of float32 [rows, vocabulary] in C order, so that numpy.load reads and
// numpy.save makes them. The format is described in NEP 1 of NumPy.

const (
	npyMagic  = "\x93NUMPY\x01\x00"
	npyHeader = 128 // bytes up to the data, a multiple of 64
	maxRows   = 1 << 20
	maxVocab  = 1 << 24
)

// RowWriter writes rows of logits to a file.
type RowWriter struct {
	f    *os.File
	w    *bufio.Writer
	n    int // of a row
	rows int
	buf  []byte
}

// NewRowWriter creates the file; Close completes it.
func NewRowWriter(path string) (*RowWriter, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	w := &RowWriter{f: f, w: bufio.NewWriterSize(f, 1<<20)}
	_, err = w.w.Write(make([]byte, npyHeader))
	return w, err
}

// Write adds a row; all have the length of the first.
func (w *RowWriter) Write(logits []float32) error {
	if w.rows == 0 {
		w.n = len(logits)
	}
	if len(logits) != w.n {
		return fmt.Errorf("a row of %d logits after rows of %d", len(logits), w.n)
	}
	w.rows++
	w.buf = w.buf[:0]
	for _, l := range logits {
		w.buf = binary.LittleEndian.AppendUint32(w.buf, math.Float32bits(l))
	}
	_, err := w.w.Write(w.buf)
	return err
}

// Close writes the header and closes the file.
func (w *RowWriter) Close() error {
	err := w.w.Flush()
	text := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", w.rows, w.n)
	header := []byte(npyMagic)
	header = binary.LittleEndian.AppendUint16(header, npyHeader-10)
	header = append(header, text+strings.Repeat(" ", npyHeader-10-len(text)-1)+"\n"...)
	if err == nil {
		_, err = w.f.WriteAt(header, 0)
	}
	return errors.Join(err, w.f.Close())
}

var npyShape = regexp.MustCompile(`'shape':\s*\((\d+),(?:\s*(\d+),?)?\s*\)`)

// ReadRows reads saved logits.
func ReadRows(path string) ([][]float32, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := readRows(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return rows, nil
}

func readRows(r io.Reader) ([][]float32, error) {
	start := make([]byte, 10)
	if _, err := io.ReadFull(r, start); err != nil || string(start[:6]) != npyMagic[:6] {
		return nil, errors.New("it is not a NumPy array file; forge run --save-logits makes one, numpy.save too")
	}
	if start[6] != 1 {
		return nil, fmt.Errorf("it is a NumPy array file of version %d, version 1 is read", start[6])
	}
	header := make([]byte, binary.LittleEndian.Uint16(start[8:]))
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, errors.New("its header is cut off")
	}
	text := string(header)
	shape := npyShape.FindStringSubmatch(text)
	switch {
	case !strings.Contains(text, "'<f4'"):
		return nil, errors.New("its numbers are not little-endian float32: convert them with astype('<f4')")
	case strings.Contains(text, "'fortran_order': True"):
		return nil, errors.New("it is in Fortran order: save numpy.ascontiguousarray of it")
	case shape == nil:
		return nil, errors.New("its shape is not (rows, vocabulary)")
	}
	n, _ := strconv.Atoi(shape[1])
	rows := 1
	if shape[2] != "" {
		rows = n
		n, _ = strconv.Atoi(shape[2])
	}
	if rows < 1 || rows > maxRows || n < 1 || n > maxVocab {
		return nil, fmt.Errorf("its shape is (%d, %d): forge reads up to %d rows of up to %d", rows, n, maxRows, maxVocab)
	}
	var out [][]float32 // grows with what is there: a header may promise anything
	buf := make([]byte, 4*n)
	for i := range rows {
		if _, err := io.ReadFull(r, buf); err != nil {
			return nil, fmt.Errorf("it ends in row %d of %d", i+1, rows)
		}
		row := make([]float32, n)
		for k := range row {
			row[k] = math.Float32frombits(binary.LittleEndian.Uint32(buf[4*k:]))
		}
		out = append(out, row)
	}
	return out, nil
}
