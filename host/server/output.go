package server

import (
	"fmt"
	"io"
	"os"
)

// lineFile writes whole lines to a file: when one cannot be written, what is there of it is cut off again, so that the
// file ends with the last complete answer.
type lineFile struct {
	*os.File
	good int64
}

// CreateOutput makes a batch's answer file; "-" is standard output. An existing file is not overwritten.
func CreateOutput(path string) (io.WriteCloser, error) {
	if path == "-" {
		return os.Stdout, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if os.IsExist(err) {
		if info, statErr := os.Stat(path); statErr == nil && !info.Mode().IsRegular() {
			return os.OpenFile(path, os.O_WRONLY, 0)
		}
		return nil, fmt.Errorf("%s exists already: move it away or name another file, answers are not overwritten", path)
	}
	if err != nil {
		return nil, err
	}
	return &lineFile{File: f}, nil
}

func (f *lineFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	if err != nil {
		if cut := f.Truncate(f.good); cut == nil {
			f.Seek(f.good, io.SeekStart)
		}
		return n, err
	}
	f.good += int64(n)
	return n, nil
}
