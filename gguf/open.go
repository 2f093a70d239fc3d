package gguf

import (
	"fmt"
	"math"
	"os"
)

// openRegular opens a plain file and returns its size; a directory or a pipe has no bytes to map.
func openRegular(path string) (*os.File, int, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err // names the operation, the path and the reason
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = fmt.Errorf("%s: this is a folder, not a GGUF file", path)
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s: this is not a plain file", path)
	case info.Size() > math.MaxInt:
		err = fmt.Errorf("%s: %d bytes are more than this machine can address", path, info.Size())
	}
	if err != nil {
		_ = file.Close() // nothing was written
		return nil, 0, err
	}
	return file, int(info.Size()), nil
}
