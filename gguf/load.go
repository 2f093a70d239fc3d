package gguf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// Load is [Open] with a copy of the file in memory in place of a mapping. On Linux the copy lies in large pages, from where
// weights are read faster than from a file that the system's cache has in small ones. It takes longer to open and the memory is
// this process's alone. What becomes of the file afterwards does not matter.
func Load(path string) (*File, error) { return openWith(loadFile, path) }

// loadFile reads the file at path into memory of its own.
func loadFile(path string) (data []byte, free func() error, err error) {
	file, size, err := openRegular(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	if size == 0 {
		return nil, func() error { return nil }, nil
	}
	if err = checkRoom(size); err == nil {
		data, free, err = newMemory(size)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: a copy of the file takes %d bytes of memory, %w: leave --no-mmap out, then the file is read where it lies", path, size, err)
	}
	if err = readAll(file, data); err == nil {
		err = protect(data)
	}
	if err != nil {
		return nil, nil, errors.Join(err, free())
	}
	return data, free, nil
}

// maxReaders is how many goroutines copy a file at most. On two processors, 700 MB from the system's cache take 140 ms with one and
// 80 with two; a disk waits less, too.
const maxReaders = 8

// readAll fills data from the beginning of file.
func readAll(file *os.File, data []byte) error {
	var next atomic.Int64 // chunk
	var wait sync.WaitGroup
	errs := make([]error, min(maxReaders, runtime.GOMAXPROCS(0)))
	for i := range errs {
		wait.Go(func() {
			for errs[i] == nil {
				begin := (next.Add(1) - 1) * chunk
				if begin >= int64(len(data)) {
					return
				}
				errs[i] = readAt(file, data[begin:min(begin+chunk, int64(len(data)))], begin)
			}
			next.Store(int64(len(data))) // no more for the others
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func readAt(file *os.File, part []byte, at int64) error {
	n, err := file.ReadAt(part, at)
	if n == len(part) {
		return nil
	}
	if err == io.EOF {
		return fmt.Errorf("%s: it ends at offset %d now, it was longer when it was opened: another program writes it", file.Name(), at+int64(n))
	}
	return err // names the operation, the path and the reason
}
